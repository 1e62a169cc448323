"""Near-duplicates: photographs that are the same but for size, crop, turn, colour or compression.

An image's perceptual hash is 256 bits, the signs of its lowest spatial frequencies
(https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html, pHash). Of the 2400
ISIC 2018 images looked at, all 21 pairs that differ in at most 46 bits show one lesion in one pose,
mostly two colour versions of one photograph; above that, pairs of different lesions begin
(docs/data.md).

The hash of a picture that was mirrored, turned or cropped is another. So the hashes of VIEWS of
each picture, which are such copies of it, are compared with the hashes of all pictures as they are.
With so many views, different small lesions beside a ruler come near by chance. So what a view finds
counts only if the hashes are nearer still, or the pictures, laid over each other, correlate.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import cv2
import faiss
import numpy as np
import scipy  # loads its parts where they are used
from PIL import Image

from lesion.photos.thumbnails import GRID, thumbnail
from lesion.pipeline.parallel import in_order

SIDE = GRID // 4  # of the hash, in bits: 16×16
NEAR = 46  # of 256 bits that may differ between near-duplicates
NEAR_VIEW = 50  # of those that may differ between a view and a picture, to look at the two
SURE = 32  # of those, from which on a second look is not needed
BLOCK = 256  # pictures that are in memory as float32 at a time
SAME = 0.98  # correlation of two pictures laid over each other; different lesions: up to 0.976
FARTHEST = np.array([[0.1, 0.1, 6], [0.1, 0.1, 6]])  # as shares and pixels, to lay one over another
LIGHT = 10.0  # pixels of GRID


def perceptual_hash(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The hash of a photograph of `shape` (height, width): 32 bytes, uint8; see `thumbnail`."""
    import imagehash  # which loads much of SciPy; `near_pictures` does not need it

    small = Image.fromarray(thumbnail(pixels, shape))
    return np.packbits(imagehash.phash(small, hash_size=SIDE).hash)


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
    """The near-duplicates among images with these hashes, which differ in at most `most_bits`.

    Copies that were mirrored, turned or cropped by more than a little are not found by the hash
    alone: `near_pictures` finds them.
    """
    if not len(hashes):
        return NearPairs(0, *np.empty((3, 0), int))
    stack = np.stack(hashes)
    return _as_pairs(len(stack), _unordered(_looked_for(stack, stack, most_bits)))


def near_pictures(thumbnails: Sequence[np.ndarray], known: int = 0) -> NearPairs:
    """The near-duplicates among photographs, also mirrored, turned and cropped ones.

    Bits are those between a view of one and the other. Pairs of which both are among the first
    `known` are not looked for.
    """
    if not len(thumbnails):
        return near_pairs([])
    stack = np.stack(thumbnails)
    blocks = [stack[start : start + BLOCK] for start in range(0, len(stack), BLOCK)]
    hashes = np.concatenate([_hashes(block) for block in blocks])
    found = _unordered(_looked_for(hashes, hashes, NEAR, known))

    def looked_at(view: np.ndarray) -> list[tuple[tuple[int, int], int, bool]]:
        """The pairs that a view brings near, their bits, and whether a second look bears it out.

        It reads `found`, which earlier views still add to: for a pair that it misses it looks in
        vain, and what is found stays the same.
        """
        views = np.concatenate([_hashes(_seen(block, view)) for block in blocks])
        near = []
        for i, j, bits in _looked_for(views, hashes, NEAR_VIEW, known):
            pair = min(i, j), max(i, j)
            if i != j and bits < found.get(pair, NEAR_VIEW + 1):
                sure = bits <= SURE or pair in found
                near.append((pair, bits, sure or _same(_seen(stack[[i]], view)[0], stack[j])))
        return near

    for near in in_order(looked_at, VIEWS):
        for pair, bits, same in near:
            if (same or pair in found) and bits < found.get(pair, NEAR_VIEW + 1):
                found[pair] = bits
    return _as_pairs(len(stack), found)


Pairs = dict[tuple[int, int], int]  # bits by positions, the lower first


def _unordered(found: Iterable[tuple[int, int, int]]) -> Pairs:
    return {(min(i, j), max(i, j)): bits for i, j, bits in found if i != j}


def _as_pairs(count: int, found: Pairs) -> NearPairs:
    rows = np.array([(*pair, bits) for pair, bits in sorted(found.items())], int)
    return NearPairs(count, *rows.reshape(-1, 3).T)


def _view(linear: np.ndarray, right: float = 0, down: float = 0) -> np.ndarray:
    """Where in a picture the pixels of a view of it lie, 2×3: about the middle, then moved."""
    middle = np.full(2, (GRID - 1) / 2)
    moved = middle + np.array([right, down])
    return np.column_stack([linear, moved - linear @ middle])


def _turned(degrees: float) -> list[np.ndarray]:
    """Turned with black corners, and enlarged until there are none."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return [_view(turn), _view(turn / (cosine + abs(sine)))]


def _cropped(share: float, right: int = 0, down: int = 0) -> np.ndarray:
    """Without that share of the height and of the width; -1 to 1: from which side to which."""
    moved = (GRID - 1) * share / 2
    return _view((1 - share) * np.eye(2), moved * right, moved * down)


_ORIENTATIONS = [
    np.diag(signs) @ axes
    for axes in (np.eye(2), np.eye(2)[::-1])
    for signs in product((1, -1), (1, -1))
]
VIEWS = [
    *(_view(orientation) for orientation in _ORIENTATIONS[1:]),
    *(view for degrees in (-10, -5, 5, 10) for view in _turned(degrees)),
    *(_cropped(share, *side) for share in (0.05, 0.1) for side in product((-1, 0, 1), repeat=2)),
    *(_cropped(share) for share in (0.15, 0.2)),
]


def _seen(pictures: np.ndarray, view: np.ndarray) -> np.ndarray:
    """A view of N pictures, float32: rounding would move bits."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    exact = pictures.astype(np.float32)
    return np.stack([cv2.warpAffine(picture, view, (GRID, GRID), flags=how) for picture in exact])


def _hashes(pictures: np.ndarray) -> np.ndarray:
    """The hashes of N pictures, N×32, as of `perceptual_hash`, which hashes one at a time."""
    lowest_waves = scipy.fft.dct(np.eye(GRID, dtype=np.float32), axis=0)[:SIDE]
    waves = np.ascontiguousarray(lowest_waves.T)  # GRID×SIDE
    across = pictures.reshape(-1, GRID).astype(np.float32) @ waves
    lowest = across.reshape(-1, GRID, SIDE).swapaxes(1, 2).reshape(-1, GRID) @ waves
    lowest = lowest.reshape(-1, SIDE, SIDE).swapaxes(1, 2).reshape(-1, SIDE**2)
    return np.packbits(lowest > np.median(lowest, axis=1, keepdims=True), axis=1)


def _looked_for(
    views: np.ndarray, hashes: np.ndarray, most_bits: int, known: int = 0
) -> Iterator[tuple[int, int, int]]:
    """Which of N views is near which of N pictures, and in how many bits they differ.

    Compared are both's hashes, N×32, but not those of the first `known` with each other.
    """
    for start, end, first in ((0, known, known), (known, len(views), 0)):
        index = faiss.IndexBinaryFlat(8 * hashes.shape[1])
        index.add(hashes[first:])
        ends, bits, near = index.range_search(views[start:end], most_bits + 1)  # in fewer bits
        view = np.repeat(np.arange(start, end), np.diff(ends.astype(int)))
        yield from zip(view.tolist(), (near + first).tolist(), bits.tolist(), strict=True)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures that nearly lie over each other are of one photograph.

    They are laid over each other by the affine map of highest correlation (Evangelidis and
    Psarakis, 2008, "Parametric image alignment using enhanced correlation coefficient
    maximization"), without what is as coarse as the light. A map that is far from none means that
    they do not.
    """
    start = np.eye(2, 3, dtype=np.float32)
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        correlation, found = cv2.findTransformECC(
            _detail(other), _detail(one), start, cv2.MOTION_AFFINE, end
        )
    except cv2.error:  # it does not converge
        return False
    return bool(correlation >= SAME and (abs(found - np.eye(2, 3)) <= FARTHEST).all())


def _detail(picture: np.ndarray) -> np.ndarray:
    exact = picture.astype(np.float32)
    return exact - cv2.GaussianBlur(exact, (0, 0), LIGHT)
