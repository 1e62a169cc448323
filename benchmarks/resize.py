"""What the way into the network's square and back costs, by resize policy and size.

Dice of each true mask with itself after it was resized into the square and enlarged to its original
size again: the highest Dice that any network could reach.

    python benchmarks/resize.py ../shared/isic2018/train-native
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.masks import open_mask
from lesion.photos.placement import from_square, mask_to_square, place
from lesion.pipeline.parallel import in_order
from lesion.scoring.scores import Confusion

POLICIES = ("stretch", "letterbox", "crop")
SIDES = (64, 128, 256, 512)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the archives lie")
    folder = parser.parse_args().folder
    pairs = find_pairs(find_archives(folder))
    with ArchiveReader(folder) as archives:

        def dice(pair) -> list[float]:
            mask = open_mask(archives.read(pair.mask_archive, pair.mask))
            truth = np.asarray(mask.image) > 127
            return [
                there_and_back(mask, truth, policy, side) for policy in POLICIES for side in SIDES
            ]

        scores = np.array(list(in_order(dice, pairs))).mean(0).reshape(len(POLICIES), len(SIDES))
    print(f"| mean Dice of {len(pairs)} masks | " + " | ".join(f"{s} px" for s in SIDES) + " |")
    print("|---" * (len(SIDES) + 1) + "|")
    for policy, row in zip(POLICIES, scores, strict=True):
        print(f"| {policy} | " + " | ".join(f"{value:.4f}" for value in row) + " |")


def there_and_back(mask, truth: np.ndarray, policy: str, side: int) -> float:
    placement = place(policy, *mask.shape, side)
    square = mask_to_square(mask.image, placement, side).astype(np.float32)
    return Confusion.between(from_square(square, placement, *mask.shape) >= 0.5, truth).dice


if __name__ == "__main__":
    main()
