"""How probabilities become masks."""

from typing import Annotated

from pydantic import Field

from lesion.parameters.model import Auto, Precision, StageParams, Threads


class EvaluateParams(StageParams):
    threads: Threads
    precision: Precision
    threshold: Auto | Annotated[float, Field(gt=0, lt=1)]
    tta: Auto | bool
    largest_component: Auto | bool
    fill_holes: Auto | bool
