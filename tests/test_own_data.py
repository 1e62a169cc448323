"""What people put into data/ stays there, and the pipeline sees it and when it changes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lesion.synthetic import write_archives
from project import clone, copy, environment, run, set_params, wait_for

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
OTHER_PLACES = ("untracked", "linked", "elsewhere")


@pytest.fixture
def project(base: Path, tmp_path: Path) -> Path:
    """A finished pipeline, with two data sets of a person's own beside the sample."""
    folder = copy(base, tmp_path)
    write_archives(folder / "data/mine", {"train": 12}, size=32, seed=7)
    write_archives(folder / "data/theirs", {"train": 9}, size=32, seed=8)
    (folder / "data/notes.txt").write_text("of two visits")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pairs(folder: Path) -> int:
    return json.loads((folder / "metrics/data.json").read_text())["pairs"]


def refusal(folder: Path, *command: str) -> str:
    """What DVC says when it has nobody to ask."""
    done = subprocess.run(
        ["dvc", *command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0, f"{command}: {done.stdout}"
    return done.stdout + done.stderr


@pytest.mark.slow
def test_no_command_touches_what_lies_beside_the_sample(project: Path) -> None:
    run(project, "dvc", "add", "data/theirs")
    (project / "data/theirs/remarks.txt").write_text("not added")
    before = files(project / "data")
    (project / "sample/LICENSE.txt").write_text("a newer sample")  # is imported anew
    run(project, "dvc", "repro", "download")
    run(project, "dvc", "exp", "run", "-S", "limit=15", "download")
    run(project, "dvc", "exp", "run", "--temp", "-S", "limit=14", "download")
    for command in ("checkout", "pull"):  # which would remove what was not added
        assert "data/theirs/remarks.txt" in refusal(project, command)
    after = files(project / "data")
    assert after.pop("sample/LICENSE.txt")
    assert after == before


def test_what_lies_in_the_samples_folder_stops_dvc_by_name_and_stays(project: Path) -> None:
    sample = project / "data/sample"
    (sample / "ISIC2018_Task1-2_Training_Input.zip").write_bytes(b"of a person's own")
    (sample / "Synthetic_Task1_Test_GroundTruth.zip").unlink()
    (sample / "Synthetic_Task1_Test_GroundTruth.zip").write_bytes(b"changed by a person")
    before = files(sample)
    for command in ("repro", "checkout", "pull"):
        assert "data/sample/" in refusal(project, command)
    # This one takes it for the new sample, in which there are two archives of a kind.
    assert "data/sample: both" in refusal(project, "exp", "run")
    assert files(sample) == before


def test_what_lay_in_the_samples_folder_before_the_first_run_stays(tmp_path: Path) -> None:
    folder = clone(tmp_path / "project")
    own = folder / "data/sample/ISIC2018_Task1-2_Training_Input.zip"
    own.parent.mkdir()
    own.write_bytes(b"of a person's own")
    run(folder, "dvc", "repro", "data.dvc")
    assert own.read_bytes() == b"of a person's own"


def test_a_linked_data_folder_is_refused_and_nothing_behind_it_is_touched(tmp_path: Path) -> None:
    folder, disk = clone(tmp_path / "project"), tmp_path / "disk"
    (disk / "sample").mkdir(parents=True)
    (disk / "sample/X.jpg").write_bytes(b"of a person's own")
    shutil.rmtree(folder / "data")
    (folder / "data").symlink_to(disk)
    refusal(folder, "repro")
    assert (disk / "sample/X.jpg").read_bytes() == b"of a person's own"


@pytest.mark.slow
def test_ones_own_data_are_a_folder_that_the_parameter_names_however_it_is_run(
    project: Path, tmp_path: Path
) -> None:
    write_archives(tmp_path / "elsewhere", {"train": 12}, size=32, seed=7)
    run(project, "dvc", "import-url", str(tmp_path / "elsewhere"), "data/copied")
    run(project, "git", "commit", "--quiet", "--message", "Our photographs")
    run(project, "dvc", "exp", "run", "-S", "data=data/copied", "preprocess")
    assert pairs(project) == 12
    own = ("-S", "data=data/copied", "-S", "image_size=24", "preprocess")
    run(project, "dvc", "exp", "run", "--temp", "--name", "apart", *own)
    run(project, "dvc", "exp", "run", "--queue", "--name", "queued", *own)
    run(project, "dvc", "queue", "start")
    wait_for(lambda: "queued" in run(project, "dvc", "exp", "list", "--name-only").stdout)
    for name in ("apart", "queued"):
        commit = run(project, "git", "for-each-ref", "--format=%(objectname)", f"**/{name}").stdout
        shown = run(project, "git", "show", f"{commit.split()[0]}:metrics/data.json").stdout
        assert json.loads(shown)["pairs"] == 12


@pytest.mark.parametrize(
    "place", ["added", *(pytest.param(p, marks=pytest.mark.slow) for p in OTHER_PLACES)]
)
def test_a_change_in_the_named_folder_is_seen(project: Path, place: str) -> None:
    name, folder = "data/mine", project / "data/mine"
    if place == "added":
        run(project, "dvc", "add", "data/mine")
    elif place != "untracked":
        folder = folder.rename(project.parent / "disk")
        name = str(folder)
    if place == "linked":
        name = "data/mine"
        (project / name).symlink_to(folder)
    set_params(project, data=name)
    modes = {path: path.stat().st_mode for path in folder.iterdir()}
    run(project, "dvc", "repro", "download")
    assert {path: path.stat().st_mode for path in folder.iterdir()} == modes
    assert "Data and pipelines are up to date" in run(project, "dvc", "status", "download").stdout
    (folder / "more.txt").write_text("a file more")
    assert "changed" in run(project, "dvc", "status", "--with-deps", "download").stdout


@pytest.mark.slow
def test_a_change_in_the_folders_of_an_entry_runs_the_pipeline_again(project: Path) -> None:
    with (project / "datasets.yaml").open("a") as file:
        file.write(
            "mine:\n  title: Ours\n  licence: internal\n  train:\n"
            "    images: {folder: images}\n    masks: {folder: masks}\n"
        )
    own = project / "data/mine"
    for archive, kind in zip(sorted(own.glob("*.zip")), ("images", "masks"), strict=True):
        shutil.unpack_archive(archive, own / kind)
    set_params(project, data="data/mine", source="mine")
    run(project, "dvc", "repro", "preprocess")
    assert pairs(project) == 12
    for path in [*own.rglob("*_9000000.jpg"), *own.rglob("*_9000000_segmentation.png")]:
        path.unlink()
    run(project, "dvc", "repro", "preprocess")
    assert pairs(project) == 11


def test_a_clone_whose_line_ends_git_would_convert_fits_the_lock_file(tmp_path: Path) -> None:
    folder, converted = clone(tmp_path / "project"), tmp_path / "converted"
    setting = "core.autocrlf=true"
    run(folder, "git", "clone", "--quiet", "--config", setting, str(folder), str(converted))
    theirs = run(folder, "dvc", "status", "--json").stdout
    assert run(converted, "dvc", "status", "--json").stdout == theirs
    for path in ("params.yaml", "presets/two-minutes", "stages/train.py"):
        assert b"\r" not in (converted / path).read_bytes()


def test_a_project_that_was_downloaded_as_a_zip_becomes_a_repository(tmp_path: Path) -> None:
    folder, unpacked = clone(tmp_path / "project"), tmp_path / "unpacked"
    run(folder, "git", "archive", "--output", str(tmp_path / "project.zip"), "HEAD")
    shutil.unpack_archive(tmp_path / "project.zip", unpacked)
    assert "is not a git repository" in refusal(unpacked, "status")
    assert "git commit" in run(unpacked, "make", "repository").stdout
    run(unpacked, "dvc", "repro", "download")
    assert (unpacked / "raw/index.csv").exists()
    assert run(unpacked, "make", "repository").stdout == ""
    # What is to be kept out of git is.
    assert "data/sample" not in run(unpacked, "git", "ls-files").stdout
