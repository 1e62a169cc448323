"""Synthetic data sets as zip archives in the official layout of ISIC 2018 Task 1.

The layout is that of https://challenge.isic-archive.com/data/#2018; licence and attribution lie in
every archive beside the images.
"""

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import cv2
import numpy as np
from tqdm import tqdm

from lesion.photos.archives import SYNTHETIC
from lesion.photos.members import add_member
from lesion.synthetic.image import MIN_SIDE, lesion_image

OFFICIAL_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}
ASPECT_RATIOS = (4 / 3, 3 / 2, 1.0)
FIRST_ID = 9_000_000  # far above the ids of real ISIC 2018 images
IDS_PER_SPLIT = 300_000  # an image's id does not depend on how many there are in other splits
JPEG_QUALITY = 88

LICENSE = """MIT License

These images and masks are synthetic: a program of this project drew them. They show no
person and contain no part of any photograph.

Permission is hereby granted, free of charge, to any person obtaining a copy of these
images and masks, to deal in them without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies
of them, subject to the condition that this notice is included in all copies or
substantial portions of them.

THEY ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT
SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THEM
OR THEIR USE.
"""


def write_archives(
    folder: Path, counts: dict[str, int], size: int, seed: int, prefix: str = "ISIC2018"
) -> None:
    """Writes synthetic data sets as zip archives named and laid out like ISIC 2018 Task 1.

    All archives appear together, or none does; their bytes depend on the arguments only.
    Asking for more images of a split leaves its first ones as they were.

    Args:
        folder: where the archives go; made if missing. Archives of the same name there
            are replaced.
        counts: images per split, for any of "train", "validation" and "test"; a split
            of 0 images gets no archives.
        size: longer side of every image in pixels, at least 24.
        seed: non-negative integer.
        prefix: what the archives' names begin with.

    Raises:
        ValueError: an unknown split, a count out of range, too small a size, or a negative seed.
    """
    _check_request(counts, size)
    wanted = [split for split in OFFICIAL_NAMES if counts.get(split, 0) > 0]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.zip" for split in wanted for stem in _stems(prefix, split)]
    total = sum(counts[split] for split in wanted)
    with tqdm(total=total, unit="image") as progress, _all_or_none(paths) as archives:
        for split, images, masks in zip(wanted, archives[::2], archives[1::2], strict=True):
            folders = _stems(prefix, split)
            _write_split(images, masks, folders, split, counts[split], size, seed, progress)


def _check_request(counts: dict[str, int], size: int) -> None:
    """Raises ValueError for what `write_archives` cannot write."""
    unknown = sorted(set(counts) - set(OFFICIAL_NAMES))
    if unknown:
        raise ValueError(f"unknown splits {unknown}, expected some of {list(OFFICIAL_NAMES)}")
    wrong = {split: n for split, n in counts.items() if not 0 <= n <= IDS_PER_SPLIT}
    if wrong:
        raise ValueError(f"counts must be between 0 and {IDS_PER_SPLIT}, got {wrong}")
    smallest = math.ceil(MIN_SIDE * max(ASPECT_RATIOS))
    if size < smallest:
        raise ValueError(f"the longer side must be at least {smallest} px, got {size}")


def _stems(prefix: str, split: str) -> tuple[str, str]:
    """Names of a split's image and mask archives, without suffix."""
    name = OFFICIAL_NAMES[split]
    return f"{prefix}_Task1-2_{name}_Input", f"{prefix}_Task1_{name}_GroundTruth"


@contextmanager
def _all_or_none(paths: list[Path]) -> Iterator[list[ZipFile]]:
    """Opens zip files under temporary names, which become `paths` only if all went well."""
    parts = [path.with_name(f"{path.name}.part") for path in paths]
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(ZipFile(part, "w", ZIP_STORED)) for part in parts]
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _write_split(
    images: ZipFile,
    masks: ZipFile,
    folders: tuple[str, str],
    split: str,
    count: int,
    size: int,
    seed: int,
    progress: tqdm,
) -> None:
    """Fills the two archives of a split, members in sorted order, each in its one of `folders`."""
    image_folder, mask_folder = folders
    position = list(OFFICIAL_NAMES).index(split)
    add_member(images, f"{image_folder}/ATTRIBUTION.txt", SYNTHETIC.encode())
    add_member(masks, f"{mask_folder}/ATTRIBUTION.txt", SYNTHETIC.encode())
    for index in range(count):
        name = f"ISIC_{FIRST_ID + position * IDS_PER_SPLIT + index:07d}"
        jpeg, png = _encoded_pair(np.random.SeedSequence((seed, position, index)), size)
        add_member(images, f"{image_folder}/{name}.jpg", jpeg)
        add_member(masks, f"{mask_folder}/{name}_segmentation.png", png)
        progress.update()
    add_member(images, f"{image_folder}/LICENSE.txt", LICENSE.encode())
    add_member(masks, f"{mask_folder}/LICENSE.txt", LICENSE.encode())


def _encoded_pair(seed: np.random.SeedSequence, size: int) -> tuple[bytes, bytes]:
    """One image as JPEG and its mask as 8-bit PNG, `size` wide, with a random aspect ratio."""
    rng = np.random.default_rng(seed)
    height = round(size / rng.choice(ASPECT_RATIOS))
    image, mask = lesion_image(int(rng.integers(2**63)), height, size)
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    jpeg_settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    jpeg_settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], jpeg_settings)
    _, png = cv2.imencode(".png", mask * np.uint8(255), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return jpeg.tobytes(), png.tobytes()
