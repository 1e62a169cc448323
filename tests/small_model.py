"""An untrained model with its settings, complete as the pipeline leaves one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lesion.formats.header import WEIGHTS_FILE, Header
from lesion.formats.settings import SETTINGS_FILE, Settings, weights_hash
from lesion.pipeline.files import write_json

HEADER = Header(
    encoder="none",
    width=2,
    depth=1,
    image_size=16,
    resize="letterbox",
    fingerprint="f" * 64,
    epoch=3,
)
CHOSEN = {
    "precision": "float32",
    "origin": "synthetic",
    "threshold": 0.5,
    "tta": True,
    "largest_component": False,
    "fill_holes": True,
    "temperature": 1.5,
    "no_lesion_odds": 0.2,
    "no_lesion_slope": 1.1,
    "review_limit": 0.9,
}


def write_model(folder: Path, seed: int = 0, resize: str = HEADER.resize, **chosen: object) -> Path:
    """An untrained model, complete: weights and settings."""
    import torch

    from lesion.network.unet import UNet
    from lesion.network.weights import save_weights

    torch.manual_seed(seed)
    network = UNet(HEADER.width, HEADER.depth)
    for _ in range(20):  # of its batch normalisation
        network(torch.randn(4, 3, HEADER.image_size, HEADER.image_size))
    # Untrained, all probabilities are nearly the same: so some pixels come to lie above one half.
    logits = network.eval()(torch.randn(4, 3, HEADER.image_size, HEADER.image_size)).detach()
    with torch.no_grad():
        network.head.weight.mul_(20)
        network.head.bias.copy_(20 * (network.head.bias - logits.median()))
    weights = folder / WEIGHTS_FILE
    save_weights(weights, network.state_dict(), replace(HEADER, resize=resize))
    settings = Settings(**{"weights": weights_hash(weights), **CHOSEN, **chosen})
    write_json(folder / SETTINGS_FILE, settings.model_dump())
    return folder
