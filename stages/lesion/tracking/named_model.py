"""A model by what a person calls it: a folder, or an address in MLflow."""

from __future__ import annotations

import os
from pathlib import Path

from lesion.prediction.segmenter import FOLDER, Segmenter

ADDRESS = "models:/"  # of MLflow's models


def folder_or_address(model: str) -> str:
    """A model of MLflow's as it is called, a folder by its whole path."""
    return model if model.startswith(ADDRESS) else os.path.abspath(model)


def load(model: str | None) -> Segmenter:
    """The model in a folder, or at an address; the pipeline's own for None.

    Raises:
        InputError: there is no such model.
    """
    if model and model.startswith(ADDRESS):
        from lesion.tracking.logged_model import local_model  # with MLflow, which takes seconds

        return Segmenter(*local_model(model))
    return Segmenter.of_folder(Path(model) if model else FOLDER)
