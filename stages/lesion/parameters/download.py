"""Which data set, and how much of it."""

from typing import Annotated

from pydantic import Field

from lesion.parameters.model import Name, StageParams


class DownloadParams(StageParams):
    data: Name
    source: Name
    limit: Annotated[int, Field(ge=0, le=10**9)]
