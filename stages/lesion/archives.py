"""Image and mask pairs in zip archives laid out like the ISIC challenges' own.

Images are `X.jpg` in one archive, their masks `X_segmentation.png` in another; an archive's name
tells which split it holds and which of the two: `ISIC2018_Task1-2_Training_Input.zip` and
`ISIC2018_Task1_Training_GroundTruth.zip`, and so for Validation and Test.
"""

import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lesion.errors import ImageError, InputError

SPLITS = {"Training": "train", "Validation": "validation", "Test": "test"}
MASK_SUFFIX = "_segmentation"
NOTES = ("LICENSE.txt", "ATTRIBUTION.txt")  # lie in the official archives beside the images
LARGEST = 256 * 2**20  # bytes of one image; a bitmap of the largest dermoscopic images has 90 MB
_ARCHIVE_NAME = re.compile(r"_(Training|Validation|Test).*_(Input|Data|GroundTruth)\.zip$")
_IMAGE_TYPES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp"}
# What zipfile raises for archives that are cut, damaged, encrypted or packed in a way it lacks.
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, KeyError, struct.error)
_EXPECTED = (
    "expected zip archives named like ISIC2018_Task1-2_Training_Input.zip and "
    "ISIC2018_Task1_Training_GroundTruth.zip"
)


@dataclass(frozen=True)
class SplitArchives:
    """The archives of a split: of its images and of their masks."""

    images: Path
    masks: Path


@dataclass(frozen=True)
class Pair:
    """An image and its mask: names of archives, and of the members that lie in them.

    `synthetic` tells the sample's drawings from photographs; their archive's ATTRIBUTION.txt says.
    """

    id: str
    split: str
    image_archive: str
    image: str
    mask_archive: str
    mask: str
    synthetic: bool


def find_archives(folder: Path) -> dict[str, SplitArchives]:
    """The archives of each split that `folder` has, told by their names.

    Raises:
        InputError: there are none, or a split has images without masks or the reverse, or two.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.zip")):
        if match := _ARCHIVE_NAME.search(path.name):
            kind = "masks" if match[2] == "GroundTruth" else "images"
            other = found.setdefault(SPLITS[match[1]], {}).setdefault(kind, path)
            if other != path:
                raise InputError(
                    f"{folder}: both {other.name} and {path.name} hold {kind} of one split; "
                    "keep one of them"
                )
    if "train" not in found:
        present = ", ".join(path.name for path in sorted(folder.glob("*"))[:5]) or "nothing"
        raise InputError(
            f"{folder}: found {present}, no training images; {_EXPECTED}; folders of images are "
            "described in datasets.yaml"
        )
    for kinds in found.values():
        if len(kinds) == 1:
            ((kind, path),) = kinds.items()
            missing = "images (_Input)" if kind == "masks" else "masks (_GroundTruth)"
            raise InputError(f"{path}: no archive with its {missing} beside it; {_EXPECTED}")
    return {split: SplitArchives(**found[split]) for split in SPLITS.values() if split in found}


def find_pairs(splits: dict[str, SplitArchives], mask_suffix: str = MASK_SUFFIX) -> list[Pair]:
    """Every pair in the archives, joined by id, in order of split and id.

    Raises:
        InputError: an archive is unreadable or empty, an image has no mask or the reverse, or an
            id occurs twice.
    """
    pairs: dict[str, Pair] = {}
    for split, archives in splits.items():
        joined = join_members(
            member_names(archives.images),
            member_names(archives.masks),
            archives.images,
            archives.masks,
            mask_suffix,
        )
        synthetic = _is_synthetic(archives.images)
        for name, (image, mask) in joined.items():
            if name in pairs:
                raise InputError(
                    f"{archives.images.name}: {name} is in the {pairs[name].split} split too"
                )
            pairs[name] = Pair(
                id=name,
                split=split,
                image_archive=archives.images.name,
                image=image,
                mask_archive=archives.masks.name,
                mask=mask,
                synthetic=synthetic,
            )
    return list(pairs.values())


def member_names(path: Path) -> list[str]:
    """The names of an archive's members.

    Raises:
        InputError: it is missing, or not a whole zip archive.
    """
    with _open(path) as archive:
        return archive.namelist()


def damage(path: Path) -> str | None:
    """What is wrong with an archive by the checksums of its members, every one of which is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (*_DAMAGE, ValueError) as error:
        return f"found no whole zip archive ({error})"
    return f"found member {bad} damaged" if bad else None


def join_members(
    image_names: Iterable[str],
    mask_names: Iterable[str],
    image_place: object,
    mask_place: object,
    mask_suffix: str = MASK_SUFFIX,
) -> dict[str, tuple[str, str]]:
    """For each id, in order: the names of its image and its mask.

    The places, archives or folders, are for messages; where they are one, it may hold both.

    Raises:
        InputError: there are none, an image has no mask or the reverse, an id occurs twice, or
            there is something else among them.
    """
    both = image_place == mask_place
    images = _by_id(image_names, image_place, mask_suffix, masks=False, both=both)
    masks = _by_id(mask_names, mask_place, mask_suffix, masks=True, both=both)
    if not images and not masks:
        raise InputError(f"{image_place}: no image in it; expected at least one X.jpg")
    for have, lack, place, what, file in (
        (images, masks, mask_place, "mask of image", f"{{}}{mask_suffix}.png"),
        (masks, images, image_place, "image of mask", "{}.jpg"),
    ):
        if missing := sorted(have.keys() - lack.keys()):
            raise InputError(
                f"{place}: no {what} {have[missing[0]]}, one of {len(missing)} without; "
                f"expected {file.format(missing[0])} in it"
            )
    return {name: (images[name], masks[name]) for name in sorted(images)}


def is_note(name: str) -> bool:
    """Whether a member is a licence or an attribution, which go with the images everywhere."""
    return PurePosixPath(name).name in NOTES


class ArchiveReader:
    """Reads members of the archives in a folder, each opened once; threads may share a reader."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._lock = threading.Lock()

    def read(self, archive: str, member: str) -> bytes:
        """The content of a member.

        Raises:
            InputError: there is no such archive.
            ImageError: there is no such member, or it is damaged, encrypted or far too large.
        """
        with self._lock:
            if archive not in self._archives:
                self._archives[archive] = _open(self._folder / archive)
        try:
            size = self._archives[archive].getinfo(member).file_size
            if size > LARGEST:
                raise ImageError(f"{archive}: {member} unpacks to {size} bytes; at most {LARGEST}")
            return self._archives[archive].read(member)
        except _DAMAGE as error:
            raise ImageError(f"{archive}: {error}") from None

    def __enter__(self) -> "ArchiveReader":
        return self

    def __exit__(self, *exception: object) -> None:
        for archive in self._archives.values():
            archive.close()


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(
            f"{path}: not found; put it there, or run `dvc repro` if it is in raw/"
        ) from None
    except (*_DAMAGE, ValueError) as error:
        raise InputError(
            f"{path}: not a whole zip archive ({error}, {path.stat().st_size} bytes); "
            "replace it by the original"
        ) from None


def _by_id(
    names: Iterable[str], place: object, mask_suffix: str, *, masks: bool, both: bool
) -> dict[str, str]:
    """Ids, and the names of the members that hold their images, or their masks."""
    members: dict[str, str] = {}
    suffix = mask_suffix.lower()  # ISIC 2016 writes X_Segmentation.png
    for name in names:
        file = PurePosixPath(name)
        if file.is_absolute() or ".." in file.parts or "\\" in name:
            raise InputError(f"{place}: found {name!r}, which leads out of it; get it anew")
        if name.endswith("/") or _lies_beside(file):
            continue
        is_mask = file.stem.lower().endswith(suffix)
        known = file.suffix.lower() in _IMAGE_TYPES
        if known and both and is_mask != masks:
            continue
        # With an empty suffix a name tells nothing: image and mask are called the same.
        if not known or (is_mask != masks and suffix):
            expected = f"X{mask_suffix}.png" if masks else "X.jpg"
            raise InputError(f"{place}: found {name}; expected only {expected} in it")
        key = file.stem[: len(file.stem) - len(suffix)] if masks else file.stem
        if key in members:
            raise InputError(f"{place}: {key} occurs twice, as {members[key]} and {name}")
        members[key] = name
    return members


def _lies_beside(file: PurePosixPath) -> bool:
    """Whether a file is known to lie among images and to be none."""
    return (
        file.name in NOTES
        or file.suffix.lower() == ".csv"  # ISIC 2017: ages and sexes
        or file.stem.endswith("_superpixels")  # ISIC 2017
        or any(part.startswith(".") or part == "__MACOSX" for part in file.parts)
        or file.name == "Thumbs.db"
    )


def _is_synthetic(path: Path) -> bool:
    with _open(path) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).name == "ATTRIBUTION.txt":
                try:
                    with archive.open(name) as note:
                        if b"synthetic" in note.read(10_000).lower():
                            return True
                except _DAMAGE as error:
                    raise InputError(f"{path}: {error}; replace it by the original") from None
    return False
