"""How photographs become squares, and which are for what."""

from typing import Annotated

from pydantic import Field

from lesion.parameters.model import Name, Resize, Seed, Share, StageParams, Strength


class PreprocessParams(StageParams):
    image_size: Annotated[int, Field(ge=16, le=4096)]
    resize: Resize
    val_fraction: Share
    test_fraction: Share
    split_seed: Seed
    folds: Annotated[int, Field(ge=0, le=100)]
    fold: Annotated[int, Field(ge=0, lt=100)]
    drop_leaks: bool
    exclude: Name
    max_rejected: Share
    max_empty: Strength
