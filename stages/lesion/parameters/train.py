"""The network, and how it is trained."""

from typing import Annotated, Literal

from pydantic import Field

from lesion.formats.architecture import EncoderName
from lesion.parameters.model import Precision, Resize, Seed, Share, StageParams, Strength, Threads


class TrainParams(StageParams):
    train_fraction: Annotated[float, Field(gt=0, le=1)]
    split_seed: Seed
    seed: Seed
    threads: Threads
    precision: Precision
    resize: Resize
    encoder: EncoderName
    width: Annotated[int, Field(ge=1, le=1024)]
    depth: Annotated[int, Field(ge=1, le=8)]
    epochs: Annotated[int, Field(ge=1, le=10**6)]
    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    lr: Annotated[float, Field(gt=0, le=10)]
    encoder_lr: Strength
    encoder_statistics: Literal["batch", "imagenet"]
    schedule: Literal["one_cycle", "constant"]
    loss: Literal["bce_dice", "bce"]
    weight_decay: Annotated[float, Field(ge=0, le=10)]
    average_decay: Share
    orientations: bool
    geometry: Strength
    colour: Strength
    hairs: Strength
