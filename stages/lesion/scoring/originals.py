"""A split's images at their original resolution, where they are scored."""

import zlib

import numpy as np
import pandas as pd

from lesion.photos.archives import Reader
from lesion.photos.masks import Reading, decode_mask
from lesion.photos.placement import Placement, from_square
from lesion.pipeline.errors import ImageError
from lesion.scoring.decision import Decided, Decision


class Originals:
    """The images of a split by their row in the arrays; threads may share it."""

    def __init__(self, index: pd.DataFrame, archives: Reader, keep_truth: bool = False) -> None:
        """`index` is of the arrays (`lesion.formats.arrays.load_index`).

        With `keep_truth` each true mask is decoded once, and kept in some kilobytes, for a split
        that is gone through several times.
        """
        self.rows = list(index.itertuples(index=False))
        self.archives = archives
        self.keep_truth = keep_truth
        self._kept: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> list[str]:
        """Of each image, the name of those that it belongs to, or ""."""
        return [found.group for found in self.rows]

    def truth(self, row: int) -> np.ndarray:
        """The true mask, H×W bool.

        Raises:
            ImageError: it is no whole image, or not of the size in the index.
        """
        found = self.rows[row]
        if row in self._kept:
            return _unpacked(self._kept[row], (found.height, found.width))
        try:
            content = self.archives.read(found.mask_archive, found.mask)
            mask = decode_mask(content, Reading.from_row(found))
        except ImageError as error:
            raise ImageError(f"{found.mask_archive}: {found.mask}: {error}") from None
        if mask.shape != (found.height, found.width):
            raise ImageError(
                f"{found.mask_archive}: {found.mask} is {mask.shape[1]}×{mask.shape[0]}; expected "
                f"{found.width}×{found.height} as in arrays/index.csv; run `dvc repro preprocess`"
            )
        if self.keep_truth:
            self._kept[row] = _packed(mask)
        return mask

    def enlarged(self, row: int, probabilities: np.ndarray) -> np.ndarray:
        """The network's square, S×S float32, in the photograph's own size, H×W.

        What the square does not show has probability 0.
        """
        found = self.rows[row]
        return from_square(probabilities, Placement.from_row(found), found.height, found.width)

    def decided(self, row: int, probabilities: np.ndarray, decision: Decision) -> Decided:
        """What is decided of the network's square, S×S float32, at the photograph's own size."""
        found = self.rows[row]
        shape = found.height, found.width
        return decision.of(probabilities, Placement.from_row(found), shape)

    def shown(self, row: int, square: np.ndarray) -> np.ndarray:
        """The part of the network's square, S×S, that shows the photograph: without bars."""
        return square[Placement.from_row(self.rows[row]).target.slices]


def _packed(mask: np.ndarray) -> bytes:
    """A bool mask as bits, deflated: far sooner undone than a PNG of bytes is decoded."""
    return zlib.compress(np.packbits(mask).tobytes(), level=1)


def _unpacked(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    bits = np.frombuffer(zlib.decompress(content), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).view(bool)
