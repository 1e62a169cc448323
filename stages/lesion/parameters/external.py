"""What is let pass of the data sets that the trained model is scored on beside its own."""

from lesion.parameters.model import Share, StageParams, Strength, Threads


class ExternalParams(StageParams):
    max_rejected: Share
    max_empty: Strength
    threads: Threads
