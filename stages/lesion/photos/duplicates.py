"""Near-duplicates: photographs that are the same but for size, crop, colour or compression.

An image's perceptual hash is 256 bits, the signs of its lowest spatial frequencies
(https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html, pHash). Of the 2400
ISIC 2018 images looked at, all 21 pairs that differ in at most 46 bits show one lesion in one pose,
mostly two colour versions of one photograph; above that, pairs of different lesions begin
(docs/data.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import scipy  # loads its parts where they are used
from PIL import Image

SIDE = 16  # of the hash, in bits: 16×16
GRID = 4 * SIDE  # pixels along the picture that it is taken from
NEAR = 46  # of 256 bits that may differ between near-duplicates
BLOCK = 256  # rows of the matrix of distances that are in memory at a time


def perceptual_hash(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The hash of a photograph of `shape` (height, width): 32 bytes, uint8.

    `pixels`, H×W×3 uint8 RGB, may be fewer by eighths, down to `least_for_hash`. The hash is taken
    from the means of blocks that are whole at each of the decoder's scales, so it hardly depends on
    the scale: in at most 8 bits, where plain resizing made it 24 (benchmarks/near_duplicates.py).
    """
    import imagehash  # which loads much of SciPy; others need `least_for_hash` alone

    block = _block(shape)
    step = 8 if block > 1 else 1
    rows, columns = (length // step * step // block for length in shape)
    eighths = 8 if pixels.shape[:2] == shape else pixels.shape[1] * 8 // shape[1]
    whole = pixels[: rows * block * eighths // 8, : columns * block * eighths // 8]
    grey: np.ndarray = cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY).astype(np.float32)
    for size in ((columns, rows), (GRID, GRID)):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    small = Image.fromarray(np.rint(grey).astype(np.uint8))
    return np.packbits(imagehash.phash(small, hash_size=SIDE).hash)


def least_for_hash(shape: tuple[int, int]) -> tuple[int, int]:
    """The smallest height and width of a photograph of `shape` that its hash can be taken from."""
    (height, width), block = shape, _block(shape)
    return math.ceil(height / block), math.ceil(width / block)


def _block(shape: tuple[int, int]) -> int:
    """Pixels along a block: the most of 8, 4, 2 and 1 that leave GRID blocks both ways."""
    return next((block for block in (8, 4, 2) if min(shape) // block >= GRID), 1)


@dataclass(frozen=True)
class NearPairs:
    """The pairs of `count` images that are near-duplicates, one entry a pair.

    `first` and `second` are positions of images, first < second; `bits` how many of the 256 differ.
    """

    count: int
    first: np.ndarray
    second: np.ndarray
    bits: np.ndarray

    def leaders(self, groups: Sequence[str] = ()) -> np.ndarray:
        """For each image the lowest position of those that it is near to, by any chain.

        With `groups`, the name of each one's group or "", those of a group count as near too.
        """
        in_group: dict[str, list[int]] = {}
        for position, group in enumerate(groups):
            if group:
                in_group.setdefault(group, []).append(position)
        chains = [pair for members in in_group.values() for pair in pairwise(members)]
        first, second = np.concatenate(
            [np.stack([self.first, self.second], 1), np.reshape(chains, (-1, 2)).astype(int)]
        ).T
        edges = np.ones(len(first), bool), (first, second)
        graph = scipy.sparse.coo_array(edges, shape=(self.count, self.count))
        _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
        lowest = np.full(self.count, self.count)
        np.minimum.at(lowest, labels, np.arange(self.count))
        return lowest[labels]

    def twins(self, splits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each image the position of its nearest near-duplicate, or -1, and their distance.

        One in another split comes before all in the same split: it is the one to know of.
        """
        image = np.concatenate([self.first, self.second])
        other = np.concatenate([self.second, self.first])
        bits = np.concatenate([self.bits, self.bits])
        order = np.lexsort((other, bits, splits[image] == splits[other], image))
        _, best = np.unique(image[order], return_index=True)
        best = order[best]
        twin, distance = np.full(self.count, -1), np.full(self.count, -1)
        twin[image[best]], distance[image[best]] = other[best], bits[best]
        return twin, distance


def near_pairs(hashes: Sequence[np.ndarray], most_bits: int = NEAR) -> NearPairs:
    """The near-duplicates among images with these hashes, which differ in at most `most_bits`."""
    if not len(hashes):
        return NearPairs(0, *np.empty((3, 0), int))
    signs = np.unpackbits(np.stack(hashes), axis=1).astype(np.float32) * 2 - 1
    length = signs.shape[1]
    found = [np.empty((3, 0), int)]
    for start in range(0, len(signs), BLOCK):
        bits = (length - signs[start : start + BLOCK] @ signs[start:].T) / 2
        first, second = np.nonzero(np.triu(bits <= most_bits, k=1))
        found.append(np.stack([first + start, second + start, bits[first, second].astype(int)]))
    return NearPairs(len(hashes), *np.concatenate(found, axis=1))
