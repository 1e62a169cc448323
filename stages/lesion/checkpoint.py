"""What a training that is broken off leaves behind, so that the next one goes on from there."""

import hashlib
import io
from pathlib import Path

import torch

from lesion.files import write_bytes


def save_checkpoint(path: Path, fingerprint: str, state: dict) -> None:
    """Replaces the checkpoint by one of the run with this fingerprint."""
    buffer = io.BytesIO()
    torch.save({"fingerprint": fingerprint, "state": state}, buffer)
    content = buffer.getvalue()
    # The hash goes first: torch reads a file with damaged numbers as if they were right.
    write_bytes(path, hashlib.sha256(content).digest() + content)


def load_checkpoint(path: Path, fingerprint: str) -> dict | None:
    """The state that was saved, or None where there is none of this very run.

    Another fingerprint means other parameters, data or code: going on from there would give a
    result that no run from the start can give.
    """
    if not path.exists():
        return None
    try:
        whole = path.read_bytes()
        if hashlib.sha256(whole[32:]).digest() != whole[:32]:
            raise ValueError("its hash differs")
        content = torch.load(io.BytesIO(whole[32:]), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not its own
        print(f"{path} cannot be read ({error}): training starts anew")
        return None
    if content["fingerprint"] != fingerprint:
        print(f"{path} is of other parameters, data or code: training starts anew")
        return None
    return content["state"]
