"""What a training that is broken off leaves behind, so that the next one goes on from there."""

import hashlib
import io
import time
from pathlib import Path

import torch

from lesion.pipeline.files import write_bytes

SAVING_SHARE = 0.02  # of the time, at most
HASH = 32  # bytes of a SHA-256
INTERVAL = 10.0  # seconds of work between two savings in the middle of an epoch


class Checkpoint:
    """A file for the state of one run, marked with its fingerprint.

    Another fingerprint means other parameters, data, code or arithmetic: going on from there would
    give a result that no run from the start can give.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self._saved = time.monotonic()
        self._cost = 0.0

    def is_due(self, at_rest: bool) -> bool:
        """Whether it is time to save: often enough to lose little, seldom enough to cost little.

        `at_rest`: an epoch has just ended.
        """
        worked = time.monotonic() - self._saved
        return worked > self._cost / SAVING_SHARE and (at_rest or worked > INTERVAL)

    def save(self, state: dict) -> None:
        """Replaces what was saved before."""
        start = time.monotonic()
        buffer = io.BytesIO()
        buffer.write(bytes(HASH))
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        # The hash goes first: torch reads a file with damaged numbers as if they were right.
        whole = buffer.getbuffer()
        whole[:HASH] = hashlib.sha256(whole[HASH:]).digest()
        write_bytes(self.path, whole)
        self._saved = time.monotonic()
        self._cost = self._saved - start

    def load(self) -> dict | None:
        """The state that was saved, or None where there is none of this very run."""
        if not self.path.exists():
            return None
        try:
            whole = memoryview(self.path.read_bytes())
            if hashlib.sha256(whole[HASH:]).digest() != whole[:HASH]:
                raise ValueError("its hash differs")
            content = torch.load(io.BytesIO(whole[HASH:]), map_location="cpu", weights_only=True)
            fingerprint, state = content["fingerprint"], content["state"]
        except Exception as error:  # torch raises many kinds for a file that is not its own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"{self.path} cannot be read ({reason}): training starts anew")
            return None
        if fingerprint != self.fingerprint:
            print(
                f"{self.path} is of other parameters, data, code or processors: "
                "training starts anew"
            )
            return None
        return state
