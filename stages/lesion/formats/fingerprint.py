"""One hash for all that a result depends on: parameters, data, code and arithmetic."""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from lesion.pipeline.errors import InputError

# Rooms that show, check or write down what others make: no result depends on them.
DECIDES_NOTHING = ("console", "parameters", "tracking", "upkeep")


def fingerprint(params: BaseModel, files: Iterable[Path], machine: dict[str, str | int]) -> str:
    """SHA-256 (64 hexadecimal digits) of the parameters, the files, the running code, and of what
    `machine` says of the processors, on which rounding depends.

    The code is the stage's script and the rooms of which it has imported a module, as its `deps`
    in dvc.yaml. Where they lie does not matter, what they hold does.
    """
    code = file_hashes(_running_code())
    return _digest(
        {
            "params": params.model_dump(),
            "files": file_hashes(files),
            "code": code,
            "machine": machine,
        }
    )


def data_hash(files: Iterable[Path]) -> str:
    """SHA-256 (64 hexadecimal digits) of the files' names and contents."""
    return _digest(file_hashes(files))


def code_hash(folder: Path) -> str:
    """SHA-256 of all files under `folder`, but for what Python makes of them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return _digest({path.relative_to(folder).as_posix(): file_hashes([path]) for path in files})


def md5(path: Path) -> str:
    """The hash that dvc.lock has of a file.

    Raises:
        InputError: it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which makes it") from None


def file_hashes(files: Iterable[Path]) -> list[tuple[str, str]]:
    """File name and SHA-256 of each file, sorted."""
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    return sorted(hashes)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _running_code() -> list[Path]:
    script = getattr(sys.modules["__main__"], "__file__", None)
    files = {Path(script)} if script else set()
    for name, module in sys.modules.items():
        package, _, place = name.partition(".")
        room = place.partition(".")[0]
        if package == "lesion" and room not in DECIDES_NOTHING and module.__file__:
            files |= set(Path(module.__file__).parent.glob("*.py"))
    return sorted(files)
