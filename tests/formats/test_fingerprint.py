import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesion.formats.fingerprint import data_hash, file_hashes, fingerprint
from lesion.parameters.evaluate import EvaluateParams

PARAMS = EvaluateParams(
    threads=1,
    precision="float32",
    threshold=0.5,
    tta=False,
    largest_component=False,
    fill_holes=False,
)
MACHINE = {"torch": "2.0", "processor": "AVX2", "processor_threads": 1, "processes": 1}


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.npy", "b.npy")]
    for path in paths:
        path.write_text(path.name)
    return paths


def test_file_hash_is_the_sha256_of_its_content(files):
    expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert dict(file_hashes(files)) == expected


def test_data_hash_depends_on_the_data_alone(files):
    first = data_hash(files)
    assert len(first) == 64 and data_hash(reversed(files)) == first
    files[0].write_text("changed")
    assert data_hash(files) != first


def test_fingerprint_is_64_hexadecimal_digits_and_the_same_each_time(files):
    first = fingerprint(PARAMS, files, MACHINE)
    assert len(first) == 64 and int(first, 16) >= 0
    assert fingerprint(PARAMS.model_copy(), list(files), dict(MACHINE)) == first


def test_order_and_place_of_the_files_do_not_matter(files, tmp_path):
    first = fingerprint(PARAMS, files, MACHINE)
    (tmp_path / "other").mkdir()
    moved = [path.rename(tmp_path / "other" / path.name) for path in reversed(files)]
    assert fingerprint(PARAMS, moved, MACHINE) == first


def test_a_changed_file_changes_it(files):
    first = fingerprint(PARAMS, files, MACHINE)
    files[1].write_text("other")
    assert fingerprint(PARAMS, files, MACHINE) != first


def test_files_that_swap_their_content_change_it(files):
    first = fingerprint(PARAMS, files, MACHINE)
    files[0].write_text("b.npy")
    files[1].write_text("a.npy")
    assert fingerprint(PARAMS, files, MACHINE) != first


def test_each_of_two_files_of_one_name_counts(files, tmp_path):
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "a.npy"
    twin.write_text("twin")
    first = fingerprint(PARAMS, [files[0], twin], MACHINE)
    files[0].write_text("changed")
    assert fingerprint(PARAMS, [files[0], twin], MACHINE) != first


@pytest.mark.parametrize(
    "change", [{"threads": 2}, {"precision": "auto"}, {"threshold": 0.6}, {"tta": True}]
)
def test_a_changed_parameter_changes_it(files, change):
    changed = PARAMS.model_copy(update=change)
    assert fingerprint(changed, files, MACHINE) != fingerprint(PARAMS, files, MACHINE)


@pytest.mark.parametrize(
    "change",
    [{"torch": "2.1"}, {"processor": "AVX512"}, {"processor_threads": 2}, {"processes": 2}],
    ids=str,
)
def test_another_machine_changes_it_and_the_order_of_what_it_is_does_not(files, change):
    first = fingerprint(PARAMS, files, MACHINE)
    assert fingerprint(PARAMS, files, dict(reversed(MACHINE.items()))) == first
    assert fingerprint(PARAMS, files, MACHINE | change) != first


SCRIPT = """
import sys
sys.path.insert(0, {package!r})
from lesion.formats.fingerprint import fingerprint
{imports}
from pydantic import BaseModel
class Params(BaseModel):
    pass
print(fingerprint(Params(), [], {{}}))
"""


def printed(folder: Path, imports: str = "", tail: str = "") -> str:
    """What a script gives as the fingerprint of its own code, with the package in `folder`."""
    script = folder / "stage.py"
    script.write_text(SCRIPT.format(package=str(folder), imports=imports) + tail)
    return run(str(script))


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def package(tmp_path, root) -> Path:
    folder = tmp_path / "stages"
    shutil.copytree(root / "stages" / "lesion", folder / "lesion")
    return folder


@pytest.mark.long
def test_the_script_and_the_rooms_that_it_uses_count_and_those_that_only_watch_do_not(package):
    imports = "import lesion.console.progress, lesion.photos.names"
    seen = [printed(package, imports)]

    def fingerprint_with(name: str) -> str:
        with (package / "lesion" / name).open("a") as file:
            file.write("x = 1\n")
        return printed(package, imports)

    for name in ("console/progress.py", "scoring/scores.py"):
        assert fingerprint_with(name) == seen[0], name
    for name in ("__init__.py", "formats/tables.py", "photos/names.py"):
        seen.append(fingerprint_with(name))
    seen.append(printed(package, imports, tail="x = 1\n"))
    assert len(set(seen)) == 5


def test_it_can_be_taken_where_there_is_no_script(package):
    code = SCRIPT.format(package=str(package), imports="")
    assert len(run("-c", code).strip()) == 64
