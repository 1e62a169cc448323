"""Results of others, to read beside this project's: on other images, and not made here.

All but the notebook and the humans are means over the images of ISIC 2018's official test set (1000
images), at their original resolution, as the challenge scores.
"""

import pandas as pd

# dice, iou, thresholded_iou; None where it was not reported.
RESULTS = {
    # Says neither how it was averaged nor on which images; 256×256 pixels.
    "notebook, 5 epochs": (0.8494, 0.7480, None),
    "U-Net from scratch": (0.811, 0.717, 0.611),
    "U-Net on frozen ResNet50V2": (0.870, 0.787, 0.717),
    "five networks averaged": (0.878, 0.804, 0.743),
    # Du et al., 2023, https://arxiv.org/abs/2307.13897
    "AViT (Du et al. 2023)": (0.881, 0.809, 0.767),
    # Qian et al., 2018, https://arxiv.org/abs/1809.03917
    "challenge winner 2018 (Qian et al.)": (None, None, 0.802),
    # Two people's masks of the same training images.
    "two humans": (0.806, 0.715, None),
}
_SCORES = ("dice", "iou", "thresholded_iou")


def published(split: str) -> pd.DataFrame:
    """As rows of metrics/scores.csv, without images and intervals, marked by a column published."""
    rows = [
        {
            "split": split,
            "group": "all",
            "method": method,
            "score": score,
            "value": value,
            "published": True,
        }
        for method, values in RESULTS.items()
        for score, value in zip(_SCORES, values, strict=True)
        if value is not None
    ]
    return pd.DataFrame(rows)
