"""A split's images at their original resolution, where they are scored."""

import numpy as np
import pandas as pd

from lesion.photos.archives import ArchiveReader
from lesion.photos.masks import Reading, decode_mask
from lesion.photos.placement import Placement, from_square
from lesion.pipeline.errors import ImageError


class Originals:
    """The images of a split by their row in the arrays; threads may share it."""

    def __init__(self, index: pd.DataFrame, archives: ArchiveReader) -> None:
        """`index` is of the arrays (`lesion.formats.arrays.load_index`)."""
        self.rows = list(index.itertuples(index=False))
        self.archives = archives

    def __len__(self) -> int:
        return len(self.rows)

    def truth(self, row: int) -> np.ndarray:
        """The true mask, H×W bool.

        Raises:
            ImageError: it is no whole image, or not of the size in the index.
        """
        found = self.rows[row]
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
        return mask

    def enlarged(self, row: int, probabilities: np.ndarray) -> np.ndarray:
        """The network's square, S×S float32, in the photograph's own size, H×W.

        What the square does not show has probability 0.
        """
        found = self.rows[row]
        return from_square(probabilities, Placement.from_row(found), found.height, found.width)

    def shown(self, row: int, square: np.ndarray) -> np.ndarray:
        """The part of the network's square, S×S, that shows the photograph: without bars."""
        return square[Placement.from_row(self.rows[row]).target.slices]
