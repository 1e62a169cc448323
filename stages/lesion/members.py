"""Images and masks wherever they lie, and putting them into raw/ as zip archives.

Whole archives are linked; the first pairs of an archive, and folders, are packed into new ones, so
that all later stages read archives and nothing else.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from lesion.archives import MASK_SUFFIX, ArchiveReader, SplitArchives, is_note, join_members
from lesion.archives import member_names as names_in
from lesion.errors import ImageError, InputError


class Members(Protocol):
    """Named files in one place; `place` says where, for messages."""

    place: object

    def names(self) -> list[str]:
        """The name of each file, folders separated by "/"."""

    def read(self, name: str) -> bytes:
        """The content of one."""


class ArchiveMembers:
    """The members of a zip archive on this machine."""

    def __init__(self, path: Path) -> None:
        self.place = path
        self._reader = ArchiveReader(path.parent)

    def names(self) -> list[str]:
        return names_in(self.place)

    def read(self, name: str) -> bytes:
        return self._reader.read(self.place.name, name)


class FolderMembers:
    """The files in a folder and those below it.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder
        if not folder.is_dir():
            raise InputError(
                f"{folder}: not found; expected the folder that datasets.yaml names, in the one "
                "that the parameter data names"
            )

    def names(self) -> list[str]:
        return sorted(
            path.relative_to(self.place).as_posix()
            for path in self.place.rglob("*")
            if path.is_file()
        )

    def read(self, name: str) -> bytes:
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise ImageError(f"{self.place / name}: {error.strerror}") from None


def put(
    split: str,
    images: Members,
    masks: Members,
    folder: Path,
    *,
    limit: int = 0,
    mask_suffix: str = MASK_SUFFIX,
) -> SplitArchives:
    """Puts a split's images and masks into `folder`, as one archive each.

    With `limit`, only the first so many pairs in the order of their ids.

    Raises:
        InputError: images and masks are no pairs.
        ImageError: a member that is to be packed is damaged.
    """
    chosen = first_pairs(images, masks, limit, mask_suffix)
    if limit == 0 and all(isinstance(source, ArchiveMembers) for source in (images, masks)):
        return SplitArchives(link(images.place, folder), link(masks.place, folder))
    paths = []
    for kind, source, names in zip(("images", "masks"), (images, masks), chosen, strict=True):
        path = folder / f"{split}_{kind}.zip"
        pack(path, ((name, source.read(name)) for name in names))
        paths.append(path)
    return SplitArchives(*paths)


def first_pairs(
    images: Members, masks: Members, limit: int, mask_suffix: str = MASK_SUFFIX
) -> tuple[list[str], list[str]]:
    """Names of the first `limit` images (0: all), of their masks, and of licences beside them."""
    image_names, mask_names = images.names(), masks.names()
    joined = join_members(image_names, mask_names, images.place, masks.place, mask_suffix)
    first = list(joined.values())[: limit or None]
    return (
        sorted([image for image, _ in first] + [name for name in image_names if is_note(name)]),
        sorted([mask for _, mask in first] + [name for name in mask_names if is_note(name)]),
    )


def link(path: Path, folder: Path) -> Path:
    """One file under two names where the file system can: archives are large and never change."""
    target = folder / path.name
    if not target.exists():
        try:
            os.link(path.resolve(), target)
        except OSError:
            shutil.copyfile(path, target)
    return target


def pack(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A zip archive of names and contents; equal ones give equal bytes."""
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name, content in members:
            add_member(archive, name, content)


def add_member(archive: ZipFile, name: str, content: bytes) -> None:
    """Adds a member whose header holds nothing of the time, the system or the user."""
    info = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    archive.writestr(info, content)
