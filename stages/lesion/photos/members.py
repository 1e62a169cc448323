"""Images and masks wherever they lie, and putting them into raw/ as zip archives.

Whole archives are linked or copied; a sample of an archive's pairs, and folders, are packed into
new ones, so that all later stages read archives and nothing else.
"""

import os
import re
import stat
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeGuard
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from lesion.console.shown import one_line
from lesion.formats.splits import sample_of
from lesion.photos.archives import LARGEST, ArchiveReader, SplitArchives, kind_of
from lesion.photos.archives import member_names as names_in
from lesion.photos.names import (
    OFFICIAL,
    Layout,
    Listing,
    inner_path,
    join_members,
    notes,
    passed_over,
)
from lesion.pipeline.errors import ImageError, InputError
from lesion.pipeline.files import copy_file
from lesion.pipeline.root import downloads_folder

_NO_LINK = (
    "expected files and folders, as DVC sees no change behind such a link; put there what it leads "
    "to"
)
_IN_CACHE = re.compile("/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


# From ids to the name of each one's group, for those that have one.
GroupsOf = Callable[[Sequence[str]], Mapping[str, str]]


def no_groups(ids: Sequence[str]) -> Mapping[str, str]:
    """Where nothing is known of what belongs together."""
    return {}


class Members(Protocol):
    """Named files in one place; `place` says where, for messages."""

    @property
    def place(self) -> Hashable: ...

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
    """The files in a folder and those below it, which lies in the folder `root`, or is it.

    `obtain` says what to do where it is not there. With `links`, files may be links to others that
    lie outside `root`.

    Raises:
        InputError: there is no such folder, or only behind a link.
    """

    def __init__(
        self,
        folder: Path,
        obtain: str | None = None,
        *,
        root: Path | None = None,
        links: bool = False,
    ) -> None:
        self.place, self._links = folder, links
        self._root = root or folder
        below = folder.relative_to(self._root).parts
        for path in (self._root.joinpath(*below[:i]) for i in range(1, len(below) + 1)):
            if path.is_symlink():
                raise InputError(f"{path}: a link to a folder, or to nothing; {_NO_LINK}")
        if not folder.is_dir():
            expected = obtain or (
                "expected the folder that datasets.yaml names, in that of the parameter data"
            )
            raise InputError(f"{folder}: not found; {expected}")

    def names(self) -> list[str]:
        """Raises InputError for what is no file, or a link that is not allowed, and where a folder
        cannot be read: nothing is left out in silence."""
        files, folders = [], [self.place]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as found:
                    entries = list(found)
            except OSError as error:
                raise InputError(f"{folder}: {error.strerror}; make it readable") from None
            for entry in entries:
                path = folder / entry.name
                if entry.is_symlink():
                    self._require_allowed(path)
                elif entry.is_dir():
                    folders.append(path)
                    continue
                elif not entry.is_file():
                    raise InputError(f"{path}: {kind_of(path)}; expected a file; take it out")
                files.append(path.relative_to(self.place).as_posix())
        return sorted(files)

    def read(self, name: str) -> bytes:
        path = self.place / name
        try:
            if (size := path.stat().st_size) > LARGEST:
                raise ImageError(f"{path}: has {size} bytes; expected at most {LARGEST}")
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from None

    def _require_allowed(self, link: Path) -> None:
        if link.is_dir() or not link.exists():
            raise InputError(f"{link}: a link to a folder, or to nothing; {_NO_LINK}")
        if not link.is_file():
            raise InputError(f"{link}: a link to {kind_of(link)}; expected a file; take it out")
        target = link.resolve()
        # What DVC itself links to, where cache.type is symlink, is content that it keeps.
        kept = _IN_CACHE.search(target.as_posix())
        if not (self._links or kept or target.is_relative_to(self._root.resolve())):
            raise InputError(
                f"{link}: a link to {target}, outside {self._root}; its content would be put into "
                "raw/ and go wherever DVC sends that; put the file there, or say links: true in "
                "the data set's entry in datasets.yaml"
            )


class PlacesReader:
    """Reads members of places where they are, by the places' whole paths."""

    def __init__(self, places: Iterable[Members]) -> None:
        self._places = {str(members.place): members for members in places}

    def read(self, place: str, name: str) -> bytes:
        """The content of a member."""
        return self._places[place].read(name)


def put(
    split: str,
    images: Sequence[Members],
    masks: Sequence[Members],
    folder: Path,
    *,
    limit: int = 0,
    layout: Layout = OFFICIAL,
    groups_of: GroupsOf = no_groups,
) -> SplitArchives:
    """Puts a split's images and masks into `folder`, as one archive for each place they lie in.

    With `limit`, only a sample of so many pairs, which is part of any larger one, or of a few more,
    as groups stay whole.

    Raises:
        InputError: images and masks are no pairs, or an archive has the name of another.
        ImageError: a member that is to be packed is damaged.
    """
    chosen = sample_names(images, masks, limit, layout, groups_of)
    if limit == 0 and _are_archives(images) and _are_archives(masks):
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
    images: Sequence[Members],
    masks: Sequence[Members],
    limit: int,
    layout: Layout = OFFICIAL,
    groups_of: GroupsOf = no_groups,
) -> tuple[list[list[str]], list[list[str]]]:
    """Names in each of `images`, and in each of `masks`, of a sample of `limit` pairs (0: all), and
    of the licences beside them."""
    sides = listings(images), listings(masks)
    joined = join_members(*sides, layout)
    groups = groups_of(list(joined)) if limit else {}
    named = [groups.get(name, "") for name in joined] if groups else []
    pairs = [joined[name] for name in sample_of(list(joined), limit or len(joined), named)]

    def chosen(side: int) -> list[list[str]]:
        return [
            sorted(
                [pair[side].name for pair in pairs if pair[side].place == listing.place]
                + notes(listing, layout)
            )
            for listing in sides[side]
        ]

    return chosen(0), chosen(1)


def listings(sources: Iterable[Members]) -> list[Listing[Hashable]]:
    return [Listing(source.place, source.names()) for source in sources]


def remarks(sources: Iterable[Members], layout: Layout) -> list[str]:
    """A line on each place where files beside the images are not used: how many, and which."""
    lines = []
    for place, names in dict(listings(sources)).items():
        if beside := passed_over(Listing(place, names), layout):
            some = ", ".join([*beside[:3], "…"] if len(beside) > 3 else beside)
            counted = f"{len(beside)} × passed over beside the images"
            lines.append(one_line(f"{place}: {counted}: {some}"))
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


def _are_archives(sources: Sequence[Members]) -> TypeGuard[Sequence[ArchiveMembers]]:
    return all(isinstance(source, ArchiveMembers) for source in sources)


def _require_free(path: Path) -> None:
    """Raises InputError where `path` is there: writing to it could reach what it is a link to."""
    if path.exists():
        raise InputError(
            f"{path}: there are two archives of that name; rename the one in datasets.yaml"
        )
