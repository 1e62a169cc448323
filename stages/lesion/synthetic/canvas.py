"""What every painter uses: image coordinates and scale, ramps, and laying colours over an image.

Images are H×W×3 float32 RGB in about [0, 1]; a `shape` is their height H and width W in pixels.
"""

import cv2
import numpy as np

Shape = tuple[int, int]  # height, width

REFERENCE_SIDE = 256  # shorter side in pixels of the image that sizes are given for
WHITE = np.ones(3, np.float32)


def reference_pixel(shape: Shape) -> float:
    """Side of a reference pixel in pixels: what measures 1 px where the shorter side has 256.

    Features sized in it look alike at every image size.
    """
    return min(shape) / REFERENCE_SIDE


def centred_grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Rows (H×1) and columns (W) from the image's centre, float32, in shorter sides.

    Along the shorter side they lie in (-0.5, 0.5).
    """
    rows, columns = (np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in shape)
    return rows[:, None] / min(shape), columns / min(shape)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Cubic ramp of `values`, any shape, from 0 at `low` to 1 at `high` and flat beyond them.

    `low` must be less than `high`.
    """
    t = ((values - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def rgb(amount: np.ndarray, colour: np.ndarray = WHITE) -> np.ndarray:
    """`amount` (H×W float32) times a `colour` of 3 channels, white by default: H×W×3 float32."""
    return cv2.merge([amount * share for share in colour])


def blend(image: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`image` (H×W×3) with `colour` (3 channels) laid over it, `alpha` (H×W in [0, 1]) opaque."""
    return image * rgb(1 - alpha) + rgb(alpha, colour)


def mean_colour(image: np.ndarray) -> np.ndarray:
    """Mean RGB colour of `image` (H×W×3), 3 float32."""
    return np.array(cv2.mean(image)[:3], np.float32)
