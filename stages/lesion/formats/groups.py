"""Groups of images of one size, contrast, skin tone and the like, by columns of
metrics/baselines.csv; the limits were set by looking at ISIC 2018 photographs at 512 pixels.
"""

import math

import pandas as pd

UNKNOWN = "unknown"
# Upper ends (exclusive) of all classes but the last.
SIZES = {"small": 0.1, "medium": 0.3, "large": math.inf}  # share of the photograph
NO_LESION = "none"
CONTRASTS = {"low": 15.0, "medium": 30.0, "high": math.inf}  # ΔE*ab
# Chardon et al. 1991, in degrees.
SKIN_TONES = {
    "dark": -30.0,
    "brown": 10.0,
    "tan": 28.0,
    "intermediate": 41.0,
    "light": 55.0,
    "very light": math.inf,
}
LEAST_HAIR = 0.008  # share of the photograph; below it there is at most a hair or two, or a ruler
# Of each way to group images, the classes in their order.
CLASSES = {
    "size": [NO_LESION, *SIZES, UNKNOWN],
    "border": ["inside", "touches", UNKNOWN],
    "contrast": [*CONTRASTS, UNKNOWN],
    "skin_tone": [*SKIN_TONES, UNKNOWN],
    "hair": ["no", "yes", UNKNOWN],
}


def groups(traits: pd.DataFrame) -> pd.DataFrame:
    """The class of each image in each way to group them, one of CLASSES.

    `traits` has the fields of Traits as columns. The classes are fixed, so that they mean the same
    in every data set.
    """
    none = traits["lesion_share"] == 0
    border = traits["at_border"].map({True: "touches", False: "inside"}).fillna(UNKNOWN)
    return pd.DataFrame(
        {
            "size": _classes(traits["lesion_share"], SIZES).mask(none, NO_LESION),
            "border": border.mask(none, UNKNOWN),
            "contrast": _classes(traits["contrast"], CONTRASTS),
            "skin_tone": _classes(traits["ita"], SKIN_TONES),
            "hair": _classes(traits["hair_share"], {"no": LEAST_HAIR, "yes": math.inf}),
        },
        index=traits.index,
    )


def _classes(values: pd.Series, ends: dict[str, float]) -> pd.Series:
    classes = pd.cut(
        values.astype(float), [-math.inf, *ends.values()], right=False, labels=list(ends)
    )
    return classes.astype(object).fillna(UNKNOWN)
