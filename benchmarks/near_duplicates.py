"""At how many differing bits do perceptual hashes stop to mean one and the same lesion?

Prints how many pairs of images differ in at most so many of 256 bits, and draws the nearest pairs
side by side, for a person to judge. Then makes copies of some images, mirrored, turned, cropped and
compressed anew, and prints how many are found by the hash alone (`near_pairs`) and with views
(`near_pictures`), and what that takes; pairs that only views find are drawn after the others. The
functions are those of stages/lesion/photos/duplicates.py.

    python benchmarks/near_duplicates.py ../shared/isic2018/train-256px pairs.png
"""

import argparse
import io
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.photos import duplicates
from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.images import Photograph, decode_image
from lesion.photos.thumbnails import GRID, thumbnail
from lesion.pipeline.parallel import in_order

LEAST = 128  # pixels both ways of the pictures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the archives lie")
    parser.add_argument("picture", type=Path, help="PNG of the nearest pairs to write")
    parser.add_argument("--rows", type=int, default=12, help="of four pairs each, in the picture")
    parser.add_argument("--copies", type=int, default=40, help="of each kind that are made")
    parser.add_argument("--many", type=int, default=10_000, help="pictures, for time and memory")
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

        small = [small_of(picture(position, 10_000).pixels) for position in range(len(pairs))]
        viewed = measured(small)
        print_found(options.copies, lambda position: picture(position, 10_000).pixels, small)
        measured(others(small, options.many))

        order = np.argsort(near.bits, kind="stable")[: 4 * options.rows]
        alone = {*positions(duplicates.near_pairs([*hashes]))}
        new = [at for at, both in enumerate(positions(viewed)) if both not in alone]
        shown = [(near, at) for at in order]
        shown += [(viewed, at) for at in sorted(new, key=lambda at: viewed.bits[at])]
        print(f"{len(alone)} pairs by the hash alone, and {len(new)} more with views")
        rows = -(-len(shown) // 4)
        figure = Figure(figsize=(16, 2.1 * rows), layout="constrained")
        grid = figure.subplots(rows, 8)
        for axes in grid.flat:
            axes.axis("off")
        for place, (found, pair) in enumerate(shown):
            for side, position in enumerate((found.first[pair], found.second[pair])):
                axes = grid[place // 4, 2 * (place % 4) + side]
                axes.imshow(picture(position).pixels)
                axes.set_title(f"{pairs[position].id} · {found.bits[pair]} bits", fontsize=7)
    figure.savefig(options.picture, dpi=80)


def positions(found: duplicates.NearPairs) -> list[tuple[int, int]]:
    return [*zip(found.first.tolist(), found.second.tolist(), strict=True)]


def small_of(pixels: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(pixels)
    return thumbnail(pixels, pixels.shape[:2])


def measured(small: list[np.ndarray]) -> duplicates.NearPairs:
    """The near-duplicates with views; prints what they and those by the hash alone take."""
    hashes = list(duplicates._hashes(np.stack(small)))
    searches: dict[str, Callable[[], duplicates.NearPairs]] = {
        "hash alone": partial(duplicates.near_pairs, hashes),
        "with views": partial(duplicates.near_pictures, small),
    }
    for name, search in searches.items():
        tracemalloc.start()
        start, start_cpu = time.perf_counter(), time.process_time()
        with patch.object(duplicates, "_same", wraps=duplicates._same) as looks:
            found = search()
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(
            f"{len(small)} pictures, {name}: {len(found.first)} pairs, {seconds:.1f} s "
            f"({cpu:.1f} s of processors), {peak:.0f} MB, {looks.call_count} second looks"
        )
    return found


def others(small: list[np.ndarray], count: int) -> list[np.ndarray]:
    """So many pictures that are none of these, nor like each other: these under soft noise."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        noise = cv2.GaussianBlur(rng.normal(size=(GRID,) * 2), (0, 0), 2)
        picture = small[rng.integers(len(small))] + 40 * noise / noise.std()
        made.append(np.clip(picture, 0, 255).astype(np.uint8))
    return made


def print_found(count: int, pixels: Callable[[int], np.ndarray], small: list[np.ndarray]) -> None:
    """How many copies of each kind are found, out of `count`."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(small), count, replace=False)
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "compressed anew": lambda image: image,
        "mirrored": lambda image: image[:, ::-1],
        "turned by a quarter": np.rot90,
        "turned by 5°": partial(turned, degrees=5),
        "turned by 10°": partial(turned, degrees=10),
        "turned by 5°, black corners cut off": partial(turned, degrees=5, cut=True),
        "turned by 7°, black corners cut off": partial(turned, degrees=7, cut=True),
        "mirrored and cropped by 5 %, middle": lambda image: cropped(image[:, ::-1], 0.05),
    }
    for share in (0.05, 0.1, 0.2):
        kinds[f"cropped by {share:.0%}, middle"] = partial(cropped, share=share)
        kinds[f"cropped by {share:.0%}, anywhere"] = partial(cropped, share=share, rng=rng)
    print(f"\n| {count} copies | hash alone | with views |\n|---|---|---|")
    for name, change in kinds.items():
        found = np.zeros(2, int)
        for position in chosen:
            copy = small_of(compressed(change(pixels(position))))
            both = [small[position], copy]
            hashes = list(duplicates._hashes(np.stack(both)))
            searches = duplicates.near_pairs(hashes), duplicates.near_pictures(both)
            found += [len(pairs.first) for pairs in searches]
        print(f"| {name} | {found[0]} | {found[1]} |")
    print()


def compressed(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=80)
    return decode_image(buffer.getvalue()).pixels


def turned(pixels: np.ndarray, degrees: float, cut: bool = False) -> np.ndarray:
    """With black corners, or enlarged until there are none."""
    height, width = pixels.shape[:2]
    angle = np.deg2rad(degrees)
    longest = max(height, width) / min(height, width)
    scale = np.cos(angle) + longest * np.sin(angle) if cut else 1
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    return cv2.warpAffine(pixels, matrix, (width, height))


def cropped(pixels: np.ndarray, share: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """Without that share of its height and width, around the middle or wherever `rng` says."""
    lengths = np.array(pixels.shape[:2])
    left = np.rint(lengths * (1 - share)).astype(int)
    top, start = rng.integers(lengths - left + 1) if rng else (lengths - left) // 2
    return pixels[top : top + left[0], start : start + left[1]]


if __name__ == "__main__":
    main()
