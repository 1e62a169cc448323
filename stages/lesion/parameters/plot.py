"""What is drawn, and what the model card says of the training."""

from typing import Annotated

from pydantic import Field

from lesion.parameters.train import TrainParams


class PlotParams(TrainParams):
    panel_images: Annotated[int, Field(ge=1, le=20)]
