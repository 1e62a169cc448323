"""What is drawn."""

from typing import Annotated

from pydantic import Field

from lesion.parameters.model import StageParams


class PlotParams(StageParams):
    panel_images: Annotated[int, Field(ge=1, le=20)]
