"""Images and masks wherever they lie, and putting them into raw/ as zip archives.

Whole archives are linked or copied; a sample of an archive's pairs, and folders, are packed into
new ones, so that all later stages read archives and nothing else.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from lesion.archives import ArchiveReader, SplitArchives
from lesion.archives import member_names as names_in
from lesion.errors import ImageError, InputError
from lesion.files import copy_file
from lesion.names import OFFICIAL, Layout, Listing, inner_path, join_members, notes, passed_over
from lesion.root import downloads_folder
from lesion.splits import sample_of

WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Members(Protocol):
    """Named files in one place; `place` says where, for messages."""

    place: object

    def names(self) -> list[str]:
        """The name of each file, with the folders in which it lies."""

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
    """The files in a folder and those below it; `obtain` says what to do where it is not there.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: Path, obtain: str | None = None) -> None:
        self.place = folder
        if not folder.is_dir():
            expected = obtain or (
                "expected the folder that datasets.yaml names, in that of the parameter data"
            )
            raise InputError(f"{folder}: not found; {expected}")

    def names(self) -> list[str]:
        """Raises InputError for a link behind which nobody looks: neither this nor DVC."""
        files = []
        for path in self.place.rglob("*"):
            if path.is_file():
                files.append(path.relative_to(self.place).as_posix())
            elif path.is_symlink():
                raise InputError(
                    f"{path}: a link to a folder, or to nothing; expected files and folders, as "
                    "DVC sees no change behind such a link; put there what it leads to"
                )
        return sorted(files)

    def read(self, name: str) -> bytes:
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise ImageError(f"{self.place / name}: {error.strerror}") from None


def put(
    split: str,
    images: Sequence[Members],
    masks: Sequence[Members],
    folder: Path,
    *,
    limit: int = 0,
    layout: Layout = OFFICIAL,
) -> SplitArchives:
    """Puts a split's images and masks into `folder`, as one archive for each place they lie in.

    With `limit`, only a sample of so many pairs, which is part of any larger one.

    Raises:
        InputError: images and masks are no pairs, or an archive has the name of another.
        ImageError: a member that is to be packed is damaged.
    """
    chosen = sample_names(images, masks, limit, layout)
    if limit == 0 and all(isinstance(source, ArchiveMembers) for source in (*images, *masks)):
        places = dict.fromkeys(source.place for source in (*images, *masks))
        linked = {path: link(path, folder) for path in places}
        return SplitArchives(
            *(tuple(linked[source.place] for source in sources) for sources in (images, masks))
        )
    paths: dict[str, tuple[Path, ...]] = {}
    for kind, sources, names in zip(("images", "masks"), (images, masks), chosen, strict=True):
        paths[kind] = tuple(
            folder / f"{split}_{kind}{f'_{i}' if i > 1 else ''}.zip"
            for i in range(1, len(sources) + 1)
        )
        for path, source, wanted in zip(paths[kind], sources, names, strict=True):
            _require_free(path)
            pack(path, ((str(inner_path(name)), source.read(name)) for name in wanted))
    return SplitArchives(**paths)


def sample_names(
    images: Sequence[Members], masks: Sequence[Members], limit: int, layout: Layout = OFFICIAL
) -> tuple[list[list[str]], list[list[str]]]:
    """Names in each of `images`, and in each of `masks`, of a sample of `limit` pairs (0: all), and
    of the licences beside them."""
    sides = listings(images), listings(masks)
    joined = join_members(*sides, layout)
    pairs = [joined[name] for name in sample_of(list(joined), limit or len(joined))]
    return tuple(
        [
            sorted(
                [pair[side].name for pair in pairs if pair[side].place == listing.place]
                + notes(listing, layout)
            )
            for listing in sides[side]
        ]
        for side in (0, 1)
    )


def listings(sources: Iterable[Members]) -> list[Listing]:
    return [Listing(source.place, source.names()) for source in sources]


def remarks(sources: Iterable[Members], layout: Layout) -> list[str]:
    """A line on each place where files beside the images are not used: how many, and which."""
    lines = []
    for place, names in dict(listings(sources)).items():
        if beside := passed_over(Listing(place, names), layout):
            some = ", ".join([*beside[:3], "…"] if len(beside) > 3 else beside)
            shown = some.encode(errors="backslashreplace").decode()  # names may be no UTF-8
            lines.append(f"{place}: {len(beside)} × passed over beside the images: {shown}")
    return lines


def link(path: Path, folder: Path) -> Path:
    """An archive in `folder`: one file under two names, where the file system can, as archives are
    large; a copy of what somebody may yet write to, since DVC write-protects what it keeps.

    Raises:
        InputError: something else has that name in `folder`.
    """
    target, original = folder / path.name, path.resolve()
    _require_free(target)
    downloaded = original.parent == downloads_folder().resolve()
    try:
        if downloaded or not original.stat().st_mode & WRITABLE:
            os.link(original, target)
            return target
    except OSError:  # another disk, or one without links
        pass
    copy_file(original, target)
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


def _require_free(path: Path) -> None:
    """Raises InputError where `path` is there: writing to it could reach what it is a link to."""
    if path.exists():
        raise InputError(
            f"{path}: there are two archives of that name; rename the one in datasets.yaml"
        )
