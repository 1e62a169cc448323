"""What a training that is broken off leaves behind, so that the next one goes on from there."""

import io
from pathlib import Path

import torch

from lesion.files import write_bytes


def save_checkpoint(path: Path, fingerprint: str, state: dict) -> None:
    """Replaces the checkpoint by one of the run with this fingerprint."""
    buffer = io.BytesIO()
    torch.save({"fingerprint": fingerprint, "state": state}, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, fingerprint: str) -> dict | None:
    """The state that was saved, or None where there is none of this very run.

    Another fingerprint means other parameters, data or code: going on from there would give a
    result that no run from the start can give.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        print(f"{path} cannot be read ({type(error).__name__}): training starts anew")
        return None
    if content["fingerprint"] != fingerprint:
        print(f"{path} is of other parameters, data or code: training starts anew")
        return None
    return content["state"]
