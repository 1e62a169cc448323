import json
from pathlib import Path

import pytest

from lesion.upkeep import finished
from project import run

pytestmark = pytest.mark.long

MODEL = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint of a training that is over."""
    monkeypatch.chdir(tmp_path)
    finished.mark("abc", MODEL)
    finished.CHECKPOINT.write_bytes(b"state")


def kept() -> bool:
    both = {finished.CHECKPOINT.exists(), finished.MARK.exists()}
    assert len(both) == 1
    return both.pop()


def test_a_mark_is_of_one_training():
    assert finished.is_marked("abc") and not finished.is_marked("abd")


@pytest.mark.parametrize("content", ["", '{"fingerprint": "ab', "[]", "null", "{}"])
def test_a_mark_that_was_cut_marks_nothing(content):
    finished.MARK.write_text(content)
    assert not finished.is_marked("abc")
    finished.remove_if_cached()
    finished.remove_if_noted("abc")
    assert kept()


def test_a_mark_without_a_checkpoint_may_be_removed_again():
    for _ in range(2):
        finished.remove()
        assert not kept() and not finished.is_marked("abc")


@pytest.mark.parametrize(
    ("fingerprint", "noted", "stays"),
    [("abc", MODEL, False), ("abc", MODEL[::-1], True), ("abd", MODEL, True), ("abc", None, True)],
)
def test_it_goes_once_dvc_lock_has_the_result(fingerprint, noted, stays):
    if noted:
        finished.LOCK_FILE.write_text(f"stages:\n  train:\n    outs:\n    - md5: {noted}\n")
    finished.remove_if_noted(fingerprint)
    assert kept() == stays


@pytest.mark.parametrize(
    "place", [None, pytest.param("shared", marks=pytest.mark.slow), "../shared"]
)
def test_it_goes_where_dvcs_cache_has_the_model(tmp_path, place):
    run(tmp_path, "dvc", "init", "--no-scm", "--quiet")
    if place:
        run(tmp_path, "dvc", "cache", "dir", place)
    finished.remove_if_cached()
    assert kept()
    path = tmp_path / (place or ".dvc/cache") / "files/md5" / MODEL[:2] / MODEL[2:]
    path.parent.mkdir(parents=True)
    path.touch()
    finished.remove_if_cached()
    assert not kept()


def test_without_dvc_it_stays():
    finished.remove_if_cached()
    assert kept() and json.loads(finished.MARK.read_text())["model_hash"] == MODEL
