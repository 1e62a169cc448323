"""Which modules of `lesion` a file imports, and in which rooms they lie."""

import ast
from collections.abc import Callable
from pathlib import Path

from project import ROOT

STAGES = ROOT / "stages"
LESION = STAGES / "lesion"
ROOMS = sorted(path.parent.name for path in LESION.glob("*/__init__.py"))


def room(path: Path) -> str:
    """The room that a file of the package lies in; of `lesion/__init__.py` and stages, none."""
    inside = path.relative_to(LESION).parts if path.is_relative_to(LESION) else ()
    return inside[0] if len(inside) > 1 else ""


def imported(path: Path) -> set[Path]:
    """The files of the package that a file imports directly, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= module_files(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = path.parents[node.level - 1].relative_to(STAGES)
                base = ".".join([*folder.parts, *filter(None, [node.module])])
            for alias in node.names:
                found |= module_files(f"{base}.{alias.name}")
    return found


def module_files(name: str) -> set[Path]:
    """The files that importing `name`, a module or something in one, runs."""
    parts = name.split(".")
    if parts[0] != "lesion":
        return set()
    found = set()
    for count in range(1, len(parts) + 1):
        place = STAGES.joinpath(*parts[:count])
        files = (place / "__init__.py", place.with_suffix(".py"))
        found |= {file for file in files if file.exists()}
    return found


def all_imported(path: Path, counts: Callable[[Path], bool] = lambda path: True) -> set[Path]:
    """What a file imports, and what those import, of what `counts`."""
    found, left = set(), {path}
    while left:
        found |= left
        left = {file for one in left for file in imported(one) if counts(file)} - found
    return found - {path}
