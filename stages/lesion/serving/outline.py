"""The outline of a mask, as polygons that enclose exactly its pixels."""

from __future__ import annotations

import numpy as np

Ring = list[tuple[float, float]]

# Marching squares: of four neighbouring pixels' middles, which are lesion (the sum of the numbers
# of those that are: upper left 1, upper right 2, lower right 4, lower left 8), and the way of the
# outline between them, in halves of a pixel, with the lesion on its left. Where two pixels of
# lesion touch by a corner alone they hang together, as in lesion.scoring.postprocess.
TOP, RIGHT, BOTTOM, LEFT = (1, 0), (2, 1), (1, 2), (0, 1)
WAYS = {
    1: [(LEFT, TOP)],
    2: [(TOP, RIGHT)],
    3: [(LEFT, RIGHT)],
    4: [(RIGHT, BOTTOM)],
    5: [(RIGHT, TOP), (LEFT, BOTTOM)],
    6: [(TOP, BOTTOM)],
    7: [(LEFT, BOTTOM)],
    8: [(BOTTOM, LEFT)],
    9: [(BOTTOM, TOP)],
    10: [(TOP, LEFT), (BOTTOM, RIGHT)],
    11: [(BOTTOM, RIGHT)],
    12: [(RIGHT, LEFT)],
    13: [(RIGHT, TOP)],
    14: [(TOP, LEFT)],
}


def rings(mask: np.ndarray) -> list[Ring]:
    """Closed polygons around a mask, H×W bool; the first point is not repeated at the end.

    Points are (x, y) in pixels of the photograph, whose upper left corner is (0, 0), so that the
    middle of its first pixel is (0.5, 0.5). A pixel is lesion if its middle lies inside by the rule
    evenodd: a ring within a ring is a hole. The line goes half-way between the middles of a pixel
    of lesion and of one of skin, and so cuts the corners of the pixels' stairs.
    """
    following = _following(mask)
    found = []
    while following:
        first, at = following.popitem()
        ring = [first]
        while at != first:
            ring.append(at)
            at = following.pop(at)
        found.append(_corners(ring, 2 * mask.shape[1] + 3))
    return found[::-1]


def _following(mask: np.ndarray) -> dict[int, int]:
    """Of each point of the outlines the next one; numbered along rows of half pixels, of which a
    row has two for each pixel of the mask with a border of skin around it, less one."""
    levels = np.pad(mask.view(np.uint8), 1)
    kinds = levels[:-1, :-1] + 2 * levels[:-1, 1:] + 4 * levels[1:, 1:] + 8 * levels[1:, :-1]
    places = np.flatnonzero((kinds != 0) & (kinds != 15))
    y, x = np.divmod(places, kinds.shape[1])
    kind, row = kinds.ravel()[places], 2 * mask.shape[1] + 3
    following: dict[int, int] = {}
    for number, ways in WAYS.items():
        corner = (row * 2 * y + 2 * x)[kind == number]
        for start, end in ways:
            points = (corner + row * dy + dx for dx, dy in (start, end))
            following.update(zip(*(place.tolist() for place in points), strict=True))
    return following


def _corners(ring: list[int], row: int) -> Ring:
    """The points at which a ring's direction changes, in pixels of the mask."""
    y, x = np.divmod(np.array(ring), row)
    points = np.column_stack((x, y)) - 1  # of the border, half a pixel beyond the middles
    after = np.roll(points, -1, axis=0) - points
    before = np.roll(after, 1, axis=0)
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return [(x, y) for x, y in (points[turns] / 2).tolist()]
