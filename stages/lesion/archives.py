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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lesion.errors import ImageError, InputError

SPLITS = {"Training": "train", "Validation": "validation", "Test": "test"}
_ARCHIVE_NAME = re.compile(r"_(Training|Validation|Test).*_(Input|Data|GroundTruth)\.zip$")
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
_MASK_SUFFIX = "_segmentation.png"
_BESIDE = ("LICENSE.txt", "ATTRIBUTION.txt")  # lie in the official archives beside the images
# What zipfile raises for archives that are cut, damaged, encrypted or packed in a way it lacks.
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, KeyError, struct.error)
_EXPECTED = (
    "expected zip archives named like ISIC2018_Task1-2_Training_Input.zip and "
    "ISIC2018_Task1_Training_GroundTruth.zip"
)


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


def find_archives(folder: Path) -> dict[str, tuple[Path, Path]]:
    """For each split that `folder` has: the archives of its images and of its masks.

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
        raise InputError(f"{folder}: found {present}, no training images; {_EXPECTED}")
    for kinds in found.values():
        if len(kinds) == 1:
            ((kind, path),) = kinds.items()
            missing = "images (_Input)" if kind == "masks" else "masks (_GroundTruth)"
            raise InputError(f"{path}: no archive with its {missing} beside it; {_EXPECTED}")
    return {
        split: (found[split]["images"], found[split]["masks"])
        for split in SPLITS.values()
        if split in found
    }


def find_pairs(folder: Path) -> list[Pair]:
    """Every pair in the archives of `folder`, joined by id, in order of split and id.

    Raises:
        InputError: an archive is unreadable or empty, an image has no mask or the reverse, or an
            id occurs twice.
    """
    pairs: dict[str, Pair] = {}
    for split, (image_archive, mask_archive) in find_archives(folder).items():
        images, masks = _members(image_archive, masks=False), _members(mask_archive, masks=True)
        if not images and not masks:
            raise InputError(f"{image_archive}: no image in it; expected at least one X.jpg")
        _require_same(images, masks, image_archive, mask_archive)
        synthetic = _is_synthetic(image_archive)
        for name in sorted(images):
            if name in pairs:
                raise InputError(f"{image_archive}: {name} is in the {pairs[name].split} split too")
            pairs[name] = Pair(
                id=name,
                split=split,
                image_archive=image_archive.name,
                image=images[name],
                mask_archive=mask_archive.name,
                mask=masks[name],
                synthetic=synthetic,
            )
    return list(pairs.values())


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
            ImageError: there is no such member, or it is damaged or encrypted.
        """
        with self._lock:
            if archive not in self._archives:
                self._archives[archive] = _open(self._folder / archive)
        try:
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
        raise InputError(f"{path}: not found; run `dvc repro`, which puts it there") from None
    except (*_DAMAGE, ValueError) as error:
        raise InputError(
            f"{path}: not a whole zip archive ({error}, {path.stat().st_size} bytes); "
            "replace it by the original"
        ) from None


def _members(path: Path, *, masks: bool) -> dict[str, str]:
    """Ids, and the names of the members of an archive that hold their images or masks."""
    members: dict[str, str] = {}
    with _open(path) as archive:
        for name in archive.namelist():
            file = PurePosixPath(name)
            if name.endswith("/") or file.name in _BESIDE or file.name.endswith("_superpixels.png"):
                continue
            is_mask = file.name.endswith(_MASK_SUFFIX)
            if is_mask != masks or file.suffix.lower() not in _IMAGE_SUFFIXES:
                expected = f"X{_MASK_SUFFIX}" if masks else "X.jpg"
                raise InputError(f"{path}: found {name}; expected only {expected} in it")
            key = file.name.removesuffix(_MASK_SUFFIX) if masks else file.stem
            if key in members:
                raise InputError(f"{path}: {key} occurs twice, as {members[key]} and {name}")
            members[key] = name
    return members


def _is_synthetic(path: Path) -> bool:
    with _open(path) as archive:
        names = archive.namelist()
        notes = [name for name in names if PurePosixPath(name).name == "ATTRIBUTION.txt"]
        try:
            return any(b"synthetic" in archive.read(name).lower() for name in notes)
        except _DAMAGE as error:
            raise InputError(f"{path}: {error}; replace it by the original") from None


def _require_same(
    images: dict[str, str], masks: dict[str, str], image_archive: Path, mask_archive: Path
) -> None:
    for have, lack, archive, what, file in (
        (images, masks, mask_archive, "mask of image", f"{{}}{_MASK_SUFFIX}"),
        (masks, images, image_archive, "image of mask", "{}.jpg"),
    ):
        if missing := sorted(have.keys() - lack.keys()):
            raise InputError(
                f"{archive}: no {what} {have[missing[0]]}, one of {len(missing)} without; "
                f"expected {file.format(missing[0])} in it"
            )
