"""Bad input stops a stage with one line, exit status 1, no traceback and no output left behind.

Each kind of damage is in test_damaged_input.py; here, the stages run as a user runs them.
"""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import download
import preprocess
from lesion.console import cli
from lesion.synthetic import write_archives
from project import copy_of_stages, run, set_params

pytestmark = pytest.mark.long

IMAGES = "ISIC2018_Task1-2_Training_Input"
MASKS = "ISIC2018_Task1_Training_GroundTruth"
FIRST = "ISIC_9000000"
STAGES = {"download": download.main, "preprocess": preprocess.main}
Line = Callable[[str], str]
REPORT = {"metrics", "metrics/data.csv", "metrics/data.json"}  # is written also of what is refused


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The stages beside a data set of four training, two validation and two test pairs."""
    copy_of_stages(tmp_path)
    write_archives(tmp_path / "data", {"train": 4, "validation": 2, "test": 2}, size=48, seed=1)
    return tmp_path


@pytest.fixture
def the_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """What a stage, run in this process, says that stops; holds that it is one line and that
    nothing is left."""

    def stop(stage: str) -> str:
        before = outputs(project)
        monkeypatch.chdir(project)
        monkeypatch.setattr(cli, "PROJECT", project)
        monkeypatch.setattr(sys, "argv", [f"stages/{stage}.py"])
        with pytest.raises(SystemExit) as end:
            cli.run(STAGES[stage])
        assert capsys.readouterr() == ("", "")
        return held(project, stage, end.value.code, before)

    return stop


def said_by_process(project: Path, stage: str) -> str:
    """The same of a stage that is run as a user runs it."""
    before = outputs(project)
    result = run(project, "python", f"stages/{stage}.py", status=1)
    assert result.stdout == ""
    return held(project, stage, result.stderr.removesuffix("\n"), before)


def held(project: Path, stage: str, said: str, before: set[str]) -> str:
    assert said.startswith(f"{stage}: ") and "\n" not in said
    assert outputs(project) - REPORT == before
    return said


def outputs(project: Path) -> set[str]:
    inputs = ("stages", "data", "params.yaml", "datasets.yaml", "exclude.csv")
    paths = [path.relative_to(project) for path in project.rglob("*")]
    return {path.as_posix() for path in paths if path.parts[0] not in inputs}


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Changes the members of a zip archive."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def test_a_stage_names_an_unknown_parameter_and_what_was_meant(project: Path) -> None:
    set_params(project, batchsize=8)
    line = said_by_process(project, "download")
    assert "params.yaml" in line and "'batchsize'" in line and "'batch_size'" in line


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("lr", "1e-3x", "found '1e-3x'; expected a number above 0"),
        ("batch_size", -4, "found -4; expected a whole number at least 1"),
        ("epochs", 2.5, "found 2.5; expected a whole number at least 1"),
        ("width", "true", "found True; expected a whole number"),
        ("precision", "half", "found 'half'; expected one of portable, auto, float32, bfloat16"),
        ("threshold", ".nan", "found nan; expected auto or a number above 0 and below 1"),
        ("source", "isic2081", "found 'isic2081'; expected data (the archives"),
    ],
)
def test_a_wrong_parameter_stops_the_first_stage_and_is_named(
    project: Path, the_line: Line, name: str, value: object, expected: str
) -> None:
    set_params(project, **{name: value})
    line = the_line("download")
    assert "params.yaml" in line and f"'{name}'" in line and expected in line


def test_an_image_without_a_mask_is_named(project: Path, the_line: Line) -> None:
    member = f"{MASKS}/{FIRST}_segmentation.png"
    rewrite(project / f"data/{MASKS}.zip", lambda members: members.pop(member))
    line = the_line("download")
    assert f"{MASKS}.zip" in line and f"{FIRST}.jpg" in line and f"{FIRST}_segmentation.png" in line


def test_a_mask_without_an_image_is_named(project: Path, the_line: Line) -> None:
    rewrite(project / f"data/{IMAGES}.zip", lambda members: members.pop(f"{IMAGES}/{FIRST}.jpg"))
    line = the_line("download")
    assert (
        f"{IMAGES}.zip" in line and f"{FIRST}_segmentation.png" in line and f"{FIRST}.jpg" in line
    )


def test_a_data_set_without_archives_says_which_it_expects(project: Path, the_line: Line) -> None:
    for path in (project / "data").iterdir():
        path.unlink()
    line = the_line("download")
    assert line.startswith("download: data: found nothing")
    assert f"{IMAGES}.zip" in line and f"{MASKS}.zip" in line


def test_archives_without_images_are_named(project: Path, the_line: Line) -> None:
    for name in (IMAGES, MASKS):
        rewrite(project / f"data/{name}.zip", lambda members: members.clear())
    assert f"{IMAGES}.zip: no image in it" in the_line("download")


def test_a_web_page_in_place_of_an_archive_is_named(project: Path, the_line: Line) -> None:
    (project / f"data/{IMAGES}.zip").write_text("<html>503 Slow Down</html>")
    assert f"{IMAGES}.zip: not a whole zip archive" in the_line("download")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda whole: b"<html>not found</html>", "not an image"),
        (lambda whole: b"", "not an image: its 0 bytes"),
        (lambda whole: whole[: len(whole) // 2], "Premature end of JPEG file"),
    ],
    ids=["web page", "empty", "cut"],
)
def test_a_file_that_is_no_whole_image_is_named(
    project: Path,
    the_line: Line,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: Callable[[bytes], bytes],
    reason: str,
) -> None:
    member = f"{IMAGES}/{FIRST}.jpg"
    rewrite(
        project / f"data/{IMAGES}.zip",
        lambda members: members.update({member: content(members[member])}),
    )
    monkeypatch.chdir(project)
    download.main()
    capsys.readouterr()
    line = the_line("preprocess")
    assert f"{FIRST}: image: " in line and reason in line and "max_rejected" in line
    listed = (project / "metrics/data.csv").read_text().splitlines()
    assert listed[1].startswith(f"{FIRST},train,,rejected,image: ") and len(listed) == 9
    assert json.loads((project / "metrics/data.json").read_text())["rejected"] == 1


def test_an_unreadable_image_is_left_out_and_listed_where_that_is_allowed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = f"{IMAGES}/{FIRST}.jpg"
    rewrite(project / f"data/{IMAGES}.zip", lambda members: members.update({member: b"no image"}))
    set_params(project, max_rejected=0.2)
    monkeypatch.chdir(project)
    download.main()
    result = run(project, "python", "stages/preprocess.py")
    assert "3 train, 2 validation, 2 test" in result.stdout
    listed = (project / "arrays/rejected.csv").read_text().splitlines()
    assert len(listed) == 2 and listed[1].startswith(f"{FIRST},train,")


def test_of_a_photograph_that_is_used_nothing_is_said_but_a_note(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = f"{IMAGES}/{FIRST}.jpg"

    def damage_exif(members: dict[str, bytes]) -> None:
        with Image.open(io.BytesIO(members[member])) as image:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12")
        members[member] = buffer.getvalue()

    rewrite(project / f"data/{IMAGES}.zip", damage_exif)
    monkeypatch.chdir(project)
    download.main()
    result = run(project, "python", "stages/preprocess.py")
    assert result.stdout.splitlines()[1:] == ["note: 1 × damaged EXIF (metrics/data.csv)"]
    assert result.stderr == ""


def test_a_stage_without_its_input_says_how_to_get_it(project: Path, the_line: Line) -> None:
    assert "model/unet.safetensors: not found; run `dvc repro`" in said_by_process(
        project, "evaluate"
    )
    assert "raw/index.csv: not found; run `dvc repro`" in the_line("preprocess")


def test_a_stage_says_what_it_does_when_asked(project: Path) -> None:
    text = run(project, "python", "stages/download.py", "--help").stdout
    assert "reads" in text and "writes" in text and "knobs" in text
