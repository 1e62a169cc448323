"""Which data sets the trained model is scored on beside its own, and how much of each."""

from typing import Annotated

from pydantic import Field

from lesion.parameters.model import StageParams

# It names a folder and, in MLflow, metrics.
DatasetName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class CollectParams(StageParams):
    external: list[DatasetName]
    limit: Annotated[int, Field(ge=0, le=10**9)]
