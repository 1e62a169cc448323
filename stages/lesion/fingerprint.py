"""One hash for all that a result depends on: parameters, data, code and arithmetic."""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel


def fingerprint(params: BaseModel, files: Iterable[Path], machine: dict[str, str | int]) -> str:
    """SHA-256 (64 hexadecimal digits) of the parameters, the files, the running code, and of what
    `machine` says of the processors, on which rounding depends.

    The code is the stage's script and the modules of this package that it has imported, of the
    files that are its `deps` in dvc.yaml. Where they lie does not matter, what they hold does.
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
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "lesion"]
    files = [getattr(module, "__file__", None) for module in [sys.modules["__main__"], *modules]]
    return sorted(Path(file) for file in files if file)
