import shutil
from pathlib import Path

import pytest

from lesion.experiments.cached import cached_folder, link
from lesion.experiments.revisions import commit_of
from lesion.pipeline.errors import InputError
from project import copy

pytestmark = pytest.mark.long


@pytest.fixture
def project(base: Path, tmp_path: Path) -> Path:
    """A clone all of whose stages have run."""
    return copy(base, tmp_path)


def test_an_output_of_a_commit_is_read_out_of_the_cache_whatever_lies_in_the_workspace(
    project, tmp_path
):
    expected = {
        path.relative_to(project / "predictions").as_posix(): path.read_bytes()
        for path in (project / "predictions").rglob("*.png")
    }
    shutil.rmtree(project / "predictions")
    files = cached_folder(project, commit_of(project, "HEAD"), "predictions")
    link(files, tmp_path / "seen")
    seen = {
        path.relative_to(tmp_path / "seen").as_posix(): path.read_bytes()
        for path in (tmp_path / "seen").rglob("*.png")
    }
    assert seen == expected != {}


def test_what_the_cache_no_longer_has_and_what_is_no_folder_is_told_in_one_line(project):
    commit = commit_of(project, "HEAD")
    some = next(iter(cached_folder(project, commit, "predictions").values()))
    some.unlink()
    for output, words in (
        ("predictions", "no longer in DVC's cache; `dvc exp pull`"),
        ("metrics/data.json", "not in its dvc.lock"),
        ("nothing", "not in its dvc.lock"),
    ):
        with pytest.raises(InputError, match=words) as error:
            cached_folder(project, commit, output)
        assert "\n" not in str(error.value) and str(error.value).startswith(output)
