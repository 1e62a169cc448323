"""A training that is over, until DVC has noted its result.

DVC removes the outputs of a stage whose end it did not see, and runs it again. So that this costs a
second and no second run in MLflow, the checkpoint stays, marked as of a training all of which is
written and logged.
"""

import json
import subprocess
import sys
from pathlib import Path

from lesion.pipeline.files import write_json

CHECKPOINT = Path("checkpoint/train.pt")  # outside the outputs, which DVC removes before a run
MARK = Path("checkpoint/finished.json")
LOCK_FILE = Path("dvc.lock")


def mark(fingerprint: str, model_hash: str) -> None:
    """Notes that the training is over. `model_hash`: MD5 of its weights file, as DVC has it."""
    write_json(MARK, {"fingerprint": fingerprint, "model_hash": model_hash})


def is_marked(fingerprint: str) -> bool:
    return _mark().get("fingerprint") == fingerprint


def unmark() -> None:
    MARK.unlink(missing_ok=True)


def remove() -> None:
    """Removes checkpoint and mark. Half done, it leaves a mark that marks nothing."""
    CHECKPOINT.unlink(missing_ok=True)
    unmark()


def remove_if_cached() -> None:
    """Before a training: what DVC's cache has is trained again only because somebody wants that."""
    model_hash = _mark().get("model_hash", "")
    if not model_hash:
        return
    said = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, encoding="utf-8"
    )
    cache = Path(said.stdout.strip())
    if said.returncode == 0 and (cache / "files/md5" / model_hash[:2] / model_hash[2:]).exists():
        remove()


def remove_if_noted(fingerprint: str) -> None:
    """After a training's last use: it is removed if its result is in dvc.lock."""
    if not is_marked(fingerprint) or not LOCK_FILE.exists():
        return
    if _mark()["model_hash"] in LOCK_FILE.read_text(encoding="utf-8"):
        remove()


def _mark() -> dict[str, str]:
    try:
        found = json.loads(MARK.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
