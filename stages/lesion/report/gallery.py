"""Which images the page shows: all, as long as a browser opens a page with them at once."""

import numpy as np
import pandas as pd

LIMIT = 1000  # images of a split, some 22 kB each


def selected(cases: pd.DataFrame) -> pd.DataFrame:
    """Of a split with more than LIMIT images half as many of the lowest IoU, and as many drawn from
    the others; of any other split all.

    `cases` has a row an image, with id, split and iou. The same are drawn each time.
    """
    chosen = []
    for _, rows in cases.sort_values(["iou", "id"]).groupby("split"):
        if len(rows) > LIMIT:
            worst, others = rows[: LIMIT // 2], rows[LIMIT // 2 :]
            drawn = others.sample(LIMIT - len(worst), random_state=np.random.default_rng(0))
            rows = pd.concat([worst, drawn])
        chosen.append(rows)
    return pd.concat(chosen)


def left_out(cases: pd.DataFrame) -> list[str]:
    """What `selected` leaves out, in words, a sentence a split."""
    worst = LIMIT // 2
    return [
        f"Of {count} {split} images: the {worst} of the lowest IoU, and {LIMIT - worst} of the "
        "others at random."
        for split, count in cases["split"].value_counts().sort_index().items()
        if count > LIMIT
    ]
