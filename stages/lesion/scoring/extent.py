"""Where in an image a mask lies, so that what is around it costs no time."""

import numpy as np


def extent(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and the columns of a bool H×W mask from its first pixel to its last; 0:0 of none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return slice(top, bottom), slice(int(columns[0]), int(columns[-1]) + 1)
