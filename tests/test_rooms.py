"""The rooms of stages/lesion: what each says of itself is so, and docs/architecture.md says it."""

import ast
import re
from graphlib import TopologicalSorter

import pytest

from lesion.formats.fingerprint import DECIDES_NOTHING
from modules import LESION, ROOMS, STAGES, all_imported, imported, module_files, room
from project import ROOT

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def says(name: str) -> tuple[str, set[str]]:
    """What a room says that it is for, and which rooms it may import."""
    text = ast.get_docstring(ast.parse((LESION / name / "__init__.py").read_text()))
    subject, _, imports = text.rpartition("\n\n")
    listed = re.fullmatch(r"Imports (nothing|[a-z, ]+)\.", imports)[1]
    return subject, set() if listed == "nothing" else set(listed.split(", "))


def arrows(name: str) -> set[str]:
    files = (LESION / name).rglob("*.py")
    return {room(other) for file in files for other in imported(file)} - {name, ""}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_what_it_says_and_nothing_else(name):
    subject, allowed = says(name)
    assert subject.strip()
    assert arrows(name) == allowed


def test_arrows_form_no_circle():
    order = [*TopologicalSorter({name: says(name)[1] for name in ROOMS}).static_order()]
    assert order[0] == "pipeline" and set(order) == set(ROOMS)


def test_every_module_lies_in_a_room():
    assert {file.name for file in LESION.glob("*.py")} == {"__init__.py"}


def test_no_stage_imports_what_is_there_for_tools():
    for stage in STAGES.glob("*.py"):
        rooms = {room(file) for file in all_imported(stage)}
        assert not rooms & {"experiments", "serving", "synthetic"}, stage


def test_what_decides_nothing_is_imported_by_nothing_that_decides_but_to_show_and_to_check():
    """Nothing read from what watches may reach a result."""
    for name in set(ROOMS) - {*DECIDES_NOTHING, "experiments"}:
        assert not says(name)[1] & {"tracking", "upkeep"}, name


def test_tests_lie_in_rooms_as_the_modules_do():
    for path in (ROOT / "tests").glob("*/test_*.py"):
        assert path.parent.name in ROOMS, path


def test_the_page_names_each_room_with_its_arrows():
    rows = re.findall(r"^\| `(\w+)/` \|.*?\| ([^|]+) \| [^|]+ \|$", ARCHITECTURE, re.M)
    table = {name: set(re.findall(r"\w+", cell)) - {"nothing"} for name, cell in rows}
    assert table == {name: says(name)[1] for name in ROOMS}


def test_imports_are_found_through_packages_functions_and_type_checking(tmp_path):
    path = tmp_path / "stage.py"
    path.write_text(
        "import lesion.pipeline.errors as e\n"
        "if TYPE_CHECKING:\n    from lesion.formats import splits, arrays\n"
        "def f():\n    from lesion.synthetic import lesion_image\n"
    )
    names = {file.relative_to(LESION).as_posix() for file in imported(path)}
    assert names == {
        "__init__.py",
        "pipeline/__init__.py",
        "pipeline/errors.py",
        "formats/__init__.py",
        "formats/splits.py",
        "formats/arrays.py",
        "synthetic/__init__.py",
    }
    assert module_files("numpy.random") == set()
