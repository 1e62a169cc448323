"""At how many differing bits do perceptual hashes stop to mean one and the same lesion?

Prints how many pairs of images differ in at most so many of 256 bits, and draws the nearest pairs
side by side, for a person to judge. The hash is the one of stages/lesion/photos/duplicates.py.

    python benchmarks/near_duplicates.py ../shared/isic2018/train-256px pairs.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.photos import duplicates
from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.images import Photograph, decode_image
from lesion.pipeline.parallel import in_order

LEAST = 128  # pixels both ways of the pictures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the archives lie")
    parser.add_argument("picture", type=Path, help="PNG of the nearest pairs to write")
    parser.add_argument("--rows", type=int, default=12, help="of four pairs each, in the picture")
    options = parser.parse_args()

    pairs = find_pairs(find_archives(options.folder))
    with ArchiveReader(options.folder) as archives:

        def picture(position: int, least: int = LEAST) -> Photograph:
            pair = pairs[position]
            return decode_image(archives.read(pair.image_archive, pair.image), (least, least))

        def hashes_at(least: int) -> np.ndarray:
            """The hashes of all images, decoded at a scale with so many pixels both ways."""

            def hash_of(position: int) -> np.ndarray:
                image = picture(position, least)
                return duplicates.perceptual_hash(image.pixels, image.shape)

            return np.stack(list(in_order(hash_of, range(len(pairs)))))

        hashes = hashes_at(10_000)
        reduced = np.unpackbits(hashes ^ hashes_at(LEAST), axis=1).sum(1)
        print(
            f"Full and reduced decoding differ in {reduced.mean():.1f} bits, at most "
            f"{reduced.max()} of 256.\n"
        )
        near = duplicates.near_pairs(hashes, most_bits=64)
        print("| differing bits, at most | pairs |\n|---|---|")
        for bits in (4, 10, 20, 30, 40, duplicates.NEAR, 50, 56, 64):
            print(f"| {bits} | {(near.bits <= bits).sum()} |")

        order = np.argsort(near.bits, kind="stable")[: 4 * options.rows]
        figure = Figure(figsize=(16, 2.1 * options.rows), layout="constrained")
        grid = figure.subplots(options.rows, 8)
        for axes in grid.flat:
            axes.axis("off")
        for place, pair in enumerate(order):
            for side, position in enumerate((near.first[pair], near.second[pair])):
                axes = grid[place // 4, 2 * (place % 4) + side]
                axes.imshow(picture(position).pixels)
                axes.set_title(f"{pairs[position].id} · {near.bits[pair]} bits", fontsize=7)
    figure.savefig(options.picture, dpi=80)


if __name__ == "__main__":
    main()
