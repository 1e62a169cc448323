"""Image and mask pairs in zip archives laid out like the ISIC challenges' own.

Images are `X.jpg` in one archive, their masks `X_segmentation.png` in another; an archive's name
tells which split it holds and which of the two: `ISIC2018_Task1-2_Training_Input.zip` and
`ISIC2018_Task1_Training_GroundTruth.zip`, and so for Validation and Test.
"""

import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import IO, Protocol

from lesion.photos.names import (
    OFFICIAL,
    Layout,
    Listing,
    Place,
    inner_path,
    join_members,
    require_no_formula,
    require_text,
    wrong_encoding,
)
from lesion.pipeline.errors import ImageError, InputError

_SPLIT_OF = {"Training": "train", "Validation": "validation", "Test": "test"}
LARGEST = 256 * 2**20  # bytes of one image; a bitmap of the largest dermoscopic images has 90 MB
_ARCHIVE_NAME = re.compile(r"_(Training|Validation|Test).*_(Input|Data|GroundTruth)\.zip$")
# Every archive of drawings holds this text as ATTRIBUTION.txt: nothing less, such as a word of it,
# marks a data set as synthetic. Another text here would make photographs of those drawn before.
SYNTHETIC = """Synthetic dermoscopy images and lesion masks, made by this project (MIT).

Only the layout follows the ISIC 2018 challenge, Task 1. None of these images is an ISIC
image: their ids start at 9000000 so that the two cannot be mistaken for each other.
"""
_IN_UTF8 = 0x800  # a member's flag
# What zipfile raises for archives that are cut, damaged, encrypted or packed in a way it lacks.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    RuntimeError,
    KeyError,
    struct.error,
    OverflowError,
    UnicodeDecodeError,
)
_EXPECTED = (
    "expected zip archives named like ISIC2018_Task1-2_Training_Input.zip and "
    "ISIC2018_Task1_Training_GroundTruth.zip"
)


@dataclass(frozen=True)
class SplitArchives:
    """The archives of a split: of its images and of their masks."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]


@dataclass(frozen=True)
class Pair:
    """An image and its mask: names of archives, and of the members that lie in them.

    `synthetic` tells the sample's drawings from photographs.
    """

    id: str
    split: str
    image_archive: str
    image: str
    mask_archive: str
    mask: str
    synthetic: bool


def has_archives(folder: Path) -> bool:
    """Whether an archive in `folder` has a name that tells its split."""
    return any(_ARCHIVE_NAME.search(path.name) for path in folder.glob("*.zip"))


def find_archives(folder: Path, required: str | None = "train") -> dict[str, SplitArchives]:
    """The archives of each split that `folder` has, told by their names.

    Raises:
        InputError: there are none, none of the split that is `required`, or a split has images
            without masks or the reverse, or two.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.zip")):
        if match := _ARCHIVE_NAME.search(path.name):
            require_text(path.name, folder)
            require_no_formula(path.name, folder)
            kind = "masks" if match[2] == "GroundTruth" else "images"
            other = found.setdefault(_SPLIT_OF[match[1]], {}).setdefault(kind, path)
            if other != path:
                raise InputError(
                    f"{folder}: both {other.name} and {path.name} hold {kind} of one split; "
                    "keep one of them"
                )
    if not found or (required and required not in found):
        there = sorted(os.listdir(folder)) if folder.exists() else []  # glob hides that it may not
        present = ", ".join(there[:5]) or "nothing"
        raise InputError(
            f"{folder}: found {present}, no training images; {_EXPECTED}; folders of images are "
            "described in datasets.yaml"
        )
    for kinds in found.values():
        if len(kinds) == 1:
            ((kind, path),) = kinds.items()
            missing = "images (_Input)" if kind == "masks" else "masks (_GroundTruth)"
            raise InputError(f"{path}: no archive with its {missing} beside it; {_EXPECTED}")
    return {
        split: SplitArchives(**{kind: (path,) for kind, path in found[split].items()})
        for split in _SPLIT_OF.values()
        if split in found
    }


def find_pairs(splits: dict[str, SplitArchives], layout: Layout = OFFICIAL) -> list[Pair]:
    """Every pair in the archives, joined by id, in order of split and id.

    Raises:
        InputError: an archive is unreadable or empty, an image has no mask or the reverse, or an
            id occurs twice.
    """
    sides = {
        split: tuple(
            [Listing(path, member_names(path)) for path in paths]
            for paths in (archives.images, archives.masks)
        )
        for split, archives in splits.items()
    }
    images = {path for archives in splits.values() for path in archives.images}
    synthetic = {path for path in images if is_synthetic(path)}
    return join_splits(sides, layout, attrgetter("name"), synthetic)


def join_splits(
    sides: Mapping[str, Sequence[Sequence[Listing[Place]]]],
    layout: Layout,
    name_of: Callable[[Place], str],
    synthetic: Collection[Place] = (),
) -> list[Pair]:
    """Every pair in the places with the images, and in those with the masks, of each split.

    Pairs name a place as `name_of` does; those in `synthetic` hold drawings.

    Raises:
        InputError: as `find_pairs`.
    """
    pairs: dict[str, Pair] = {}
    for split, (images, masks) in sides.items():
        for name, (image, mask) in join_members(images, masks, layout).items():
            if name in pairs:
                raise InputError(
                    f"{name_of(image.place)}: {name} is in the {pairs[name].split} split too"
                )
            pairs[name] = Pair(
                id=name,
                split=split,
                image_archive=name_of(image.place),
                image=image.name,
                mask_archive=name_of(mask.place),
                mask=mask.name,
                synthetic=image.place in synthetic,
            )
    return list(pairs.values())


def member_names(path: Path) -> list[str]:
    """The names of an archive's members.

    Raises:
        InputError: it is missing, or not a whole zip archive.
    """
    with _open(path) as archive:
        return [member_name(member) for member in archive.infolist()]


def member_name(member: zipfile.ZipInfo) -> str:
    """The name of a member, which is read as UTF-8 wherever it can be.

    A Mac writes UTF-8 without the flag that says so, and zipfile then reads it as IBM's code page
    437, as the format has it. Bytes of that code page are next to never valid UTF-8 by chance.
    """
    if member.flag_bits & _IN_UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a member by zipfile's name of it.

    No more of it is taken into memory than the size that it says; of one with another size the
    checksum differs.

    Raises:
        RuntimeError: it is far too large, encrypted, or packed in a way that has no bounds.
        zipfile.BadZipFile, zlib.error, EOFError, OSError: it is damaged.
    """
    size = archive.getinfo(name).file_size
    with _open_member(archive, name) as file:
        return file.read(size + 1)  # one more, or of none no checksum is looked at


def damage(path: Path) -> str | None:
    """What is wrong with an archive by the checksums of its members, every one of which is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if reason := _packed_otherwise(member):
                    return f"found that {reason}"
            bad = archive.testzip()
    except UnicodeDecodeError as error:
        return wrong_encoding(error)
    except (*_DAMAGE, ValueError) as error:
        return f"found no whole zip archive ({error})"
    return f"found member {bad} damaged" if bad else None


class Reader(Protocol):
    """Reads members of archives, or of other places, by their names."""

    def read(self, archive: str, member: str, /) -> bytes:
        """The content of a member."""


class ArchiveReader:
    """Reads members of the archives in a folder, each opened once; threads may share a reader."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._members: dict[str, dict[str, zipfile.ZipInfo]] = {}
        self._lock = threading.Lock()

    def read(self, archive: str, member: str) -> bytes:
        """The content of a member.

        Raises:
            InputError: there is no such archive.
            ImageError: there is no such member, or it is damaged, encrypted or far too large.
        """
        with self._lock:
            if archive not in self._archives:
                opened = _open(self._folder / archive)
                self._members[archive] = {member_name(info): info for info in opened.infolist()}
                self._archives[archive] = opened
        info = self._members[archive].get(member)
        if info is None:
            raise ImageError(f"{archive}: there is no {member} in it")
        try:
            return unpacked(self._archives[archive], info.filename)
        except _DAMAGE as error:
            raise ImageError(f"{archive}: {error}") from None

    def __enter__(self) -> "ArchiveReader":
        return self

    def __exit__(self, *exception: object) -> None:
        for archive in self._archives.values():
            archive.close()


def kind_of(path: Path) -> str:
    """What something that is no file is, in words; links are followed."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def require_file(path: Path) -> None:
    """Raises InputError for what is there and is no file: to read a FIFO would never end."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: {kind_of(path)}; expected a zip archive")


def _open(path: Path) -> zipfile.ZipFile:
    require_file(path)
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(
            f"{path}: not found; put it there, or run `dvc repro` if it is in raw/"
        ) from None
    except PermissionError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {wrong_encoding(error)}") from None
    except (*_DAMAGE, ValueError) as error:
        raise InputError(
            f"{path}: not a whole zip archive ({error}, {path.stat().st_size} bytes); "
            "replace it by the original"
        ) from None


def _open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    member = archive.getinfo(name)
    if reason := _packed_otherwise(member):
        raise RuntimeError(reason)
    if (size := max(member.file_size, member.compress_size)) > LARGEST:
        raise RuntimeError(f"{member_name(member)} has {size} bytes; expected at most {LARGEST}")
    return archive.open(name)


def _packed_otherwise(member: zipfile.ZipInfo) -> str | None:
    """How a member is packed, where it is neither stored nor deflated.

    Of these two zipfile unpacks no more than it is asked for. What it hands to bz2 and lzma may
    become a million times as much before it looks again.
    """
    if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return None
    names: dict[int, str] = zipfile.compressor_names  # type: ignore[attr-defined]  # undocumented
    method = names.get(member.compress_type, "unknown")
    return (
        f"{member_name(member)} is packed by method {member.compress_type} ({method}); expected "
        "stored or deflated; pack the archive anew, as `zip -r` does"
    )


def is_synthetic(path: Path) -> bool:
    """Whether an archive holds this project's drawings, as it says itself."""
    mark = SYNTHETIC.encode()
    with _open(path) as archive:
        for member in archive.infolist():
            if inner_path(member.filename).name == "ATTRIBUTION.txt":
                try:
                    with _open_member(archive, member.filename) as note:
                        if note.read(len(mark) + 1) == mark:
                            return True
                except _DAMAGE as error:
                    raise InputError(f"{path}: {error}; replace it by the original") from None
    return False
