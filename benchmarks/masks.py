"""How surely a mask is told from what is none, and by a photograph's colours how it was drawn.

Of every third pair: the mask saved in several ways, with how many of the files are used as masks,
and the mean and least Dice of those with the mask that they were made of; and the photograph in
place of a mask. Then, of the seven ways in which EXIF turns a photograph, how often the colours
favour the right reading of the mask, at 64 pixels, where it makes a difference.

    python benchmarks/masks.py ../shared/isic2018/train-256px
"""

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.images import decode_image, resize_image, resize_mask, upright
from lesion.photos.masks import decode_mask
from lesion.photos.readings import CLEAR
from lesion.photos.turns import Turn
from lesion.pipeline.errors import ImageError
from lesion.pipeline.parallel import in_order
from lesion.scoring.scores import Confusion

STEP = 3  # of the pairs one is looked at
SIDE = 64  # pixels at which the colours are looked at
SAVED = {
    "as it is": lambda levels: png(levels),
    "of 100 and 200": lambda levels: png(np.where(levels > 0, 200, 100).astype(np.uint8)),
    "JPEG, quality 10": lambda levels: jpeg(levels, 10),
    "JPEG, quality 50": lambda levels: jpeg(levels, 50),
    "JPEG, quality 95": lambda levels: jpeg(levels, 95),
    "blurred by 1 pixel": lambda levels: png(cv2.GaussianBlur(levels, (0, 0), 1)),
    "blurred by 2 pixels": lambda levels: png(cv2.GaussianBlur(levels, (0, 0), 2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the archives lie")
    folder = parser.parse_args().folder
    pairs = find_pairs(find_archives(folder))[::STEP]
    with ArchiveReader(folder) as archives:

        def look(pair) -> tuple[list[float], bool, list[float]]:
            image_file = archives.read(pair.image_archive, pair.image)
            truth = decode_mask(archives.read(pair.mask_archive, pair.mask))
            levels = truth.astype(np.uint8) * 255
            scores = [dice(save(levels), truth) for save in SAVED.values()]
            image = resize_image(decode_image(image_file).pixels, SIDE, SIDE)
            return scores, used(image_file), favours(image, resize_mask(truth, SIDE, SIDE))

        scores, photographs, favour = map(list, zip(*in_order(look, pairs), strict=True))
    print(f"| {len(pairs)} masks | used | mean Dice | least |\n|---|---|---|---|")
    for name, values in zip(SAVED, np.array(scores).T, strict=True):
        found = values[~np.isnan(values)]
        print(f"| {name} | {len(found)} | {found.mean():.4f} | {found.min():.4f} |")
    print(f"\n{sum(photographs)} of {len(pairs)} photographs are taken for a mask")
    of_all = np.concatenate(favour)
    print(
        f"of {len(of_all)} turns {(of_all >= CLEAR).mean():.1%} favour the right reading by "
        f"{CLEAR}, {(of_all <= -CLEAR).mean():.2%} the wrong one"
    )


def png(levels: np.ndarray) -> bytes:
    return cv2.imencode(".png", levels)[1].tobytes()


def jpeg(levels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def used(content: bytes) -> bool:
    try:
        return decode_mask(content) is not None
    except ImageError:
        return False


def dice(content: bytes, truth: np.ndarray) -> float:
    """NaN where the file is not used by itself."""
    try:
        return Confusion.between(decode_mask(content), truth).dice
    except ImageError:
        return np.nan


def favours(image: np.ndarray, mask: np.ndarray) -> list[float]:
    """For each turn that makes another mask, how much the colours favour the mask as it is."""
    turned = {turn: upright(mask, turn).view(np.uint8) for turn in range(2, 9)}
    found = [
        Turn.compared(turn, image, other, mask.view(np.uint8), False)
        for turn, other in turned.items()
    ]
    return [turn.favour for turn in found if not turn.same]


if __name__ == "__main__":
    main()
