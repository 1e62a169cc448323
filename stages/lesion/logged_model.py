"""The trained network as a model of MLflow."""

import warnings
from pathlib import Path

NAME = "unet"


def log_model(run_id: str, weights: Path) -> None:
    """Adds a weights file to a run as a model that takes any number of uint8 images B×H×W×3.

    It gives probabilities, B×H×W, and needs nothing of this project to be loaded.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from lesion.predict import Predictor
    from lesion.weights import load_model

    network, header = load_model(weights, "cpu")
    side = header.image_size
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, side, side, 3))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, side, side))]),
    )
    requirements = [
        line for line in _requirements() if line.startswith(("torch", "numpy", "mlflow"))
    ]
    with warnings.catch_warnings(), mlflow.start_run(run_id):
        warnings.simplefilter("ignore")
        mlflow.pytorch.log_model(
            Predictor(network),
            name=NAME,
            signature=signature,
            # Two images: one alone would freeze the number of images at one.
            input_example=np.zeros((2, side, side, 3), np.uint8),
            pip_requirements=requirements,
        )


def _requirements() -> list[str]:
    return Path("requirements.txt").read_text(encoding="utf-8").split()
