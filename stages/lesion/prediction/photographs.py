"""The photographs that somebody names: files, folders and zip archives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lesion.photos.archives import LARGEST, kind_of
from lesion.photos.members import ArchiveMembers
from lesion.photos.names import (
    LONGEST,
    inner_path,
    meant_as_photographs,
    require_no_formula,
    require_text,
)
from lesion.pipeline.errors import ImageError, InputError


@dataclass(frozen=True)
class Source:
    """A file, or a member of a zip archive.

    `name` is where it lies in the folder or archive that was named, and without its type it is the
    `id`, which names what is made of it. `version`, bytes and time of the file or of the archive at
    `path`, changes with it.
    """

    name: str
    path: Path
    version: tuple[int, int]
    archive: ArchiveMembers | None = None

    @property
    def id(self) -> str:
        return inner_path(self.name).with_suffix("").as_posix()

    @property
    def place(self) -> str:
        """Where it lies, for messages."""
        return f"{self.path}: {self.name}" if self.archive else str(self.path)

    def read(self) -> bytes:
        """Its content.

        Raises:
            ImageError: its name cannot be used, or it cannot be read.
        """
        try:
            _require_name(self.id)
        except InputError as error:
            raise ImageError(str(error)) from None
        if self.archive:
            return self.archive.read(self.name)
        try:
            if not self.path.is_file():
                raise ImageError(
                    f"{kind_of(self.path) if self.path.exists() else 'a link to nothing'}; "
                    "expected a file"
                )
            if (size := self.path.stat().st_size) > LARGEST:
                raise ImageError(f"has {size} bytes; expected at most {LARGEST}")
            return self.path.read_bytes()
        except OSError as error:
            raise ImageError(str(error.strerror)) from None


def find_sources(places: Sequence[Path]) -> list[Source]:
    """The photographs in files, folders and zip archives, in the order of `places` and of names.

    In folders and archives texts, challenge masks and what systems leave there are passed over;
    whatever else is there is meant.

    Raises:
        InputError: a place is not there, has no photographs, or two would have one name.
    """
    sources: dict[str, Source] = {}
    for place in places:
        found = list(_in(place))
        if not found:
            raise InputError(f"{place}: found no photographs; expected JPEG, PNG or other images")
        for source in found:
            other = sources.setdefault(source.id, source)
            if (other.path, other.name) != (source.path, source.name):
                raise InputError(
                    f"{other.place} and {source.place}: the masks of both would be called "
                    f"{source.id}; rename one, or take them apart with another -o"
                )
    return list(sources.values())


def _in(place: Path) -> Iterator[Source]:
    if place.is_dir():
        for name in meant_as_photographs(sorted(_files_below(place))):
            yield Source(name, place / name, _version(place / name))
    elif not place.exists():
        raise InputError(f"{place}: not found; expected an image, a folder or a zip archive")
    elif place.suffix.lower() == ".zip":
        archive, version = ArchiveMembers(place), _version(place)
        for name in meant_as_photographs(sorted(archive.names())):
            yield Source(name, place, version, archive)
    else:
        yield Source(place.name, place, _version(place))


def _files_below(folder: Path) -> Iterator[str]:
    """All that is no folder, links to folders too: nothing is left out in silence."""

    def stop(error: OSError) -> None:
        raise InputError(f"{error.filename}: {error.strerror}; make it readable") from None

    for parent, folders, files in os.walk(folder, onerror=stop):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in [*files, *links]:
            yield Path(parent, name).relative_to(folder).as_posix()


def _version(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:  # a link to nothing, which is told when it is read
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _require_name(name: str) -> None:
    """Raises InputError for an id by which no file could be made, or one elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InputError(f"found {name!r}, which leads out of its folder; rename it")
    for part in path.parts:
        require_text(part, "its name")
        require_no_formula(part, "its name")
        if (length := len(os.fsencode(part))) > LONGEST:
            raise InputError(f"its name has {length} bytes; expected at most {LONGEST}")
