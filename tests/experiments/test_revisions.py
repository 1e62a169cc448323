from pathlib import Path

import pytest

from lesion.experiments.revisions import branches, commit_of, experiments, finished, place, show
from lesion.pipeline.errors import InputError
from project import run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run(tmp_path, "git", "init", "--quiet", "--initial-branch", "main")
    run(tmp_path, "git", "commit", "--quiet", "--allow-empty", "--message", "First")
    return tmp_path


def head(repository: Path) -> str:
    return run(repository, "git", "rev-parse", "HEAD").stdout.strip()


def test_branches_and_tags_of_both_kinds_are_named_with_their_commit(repository):
    run(repository, "git", "tag", "light")
    run(repository, "git", "tag", "--annotate", "--message", "Annotated", "unet@v0.0.1")
    expected = dict.fromkeys(("main", "light", "unet@v0.0.1"), head(repository))
    assert branches(repository) == expected


def test_experiments_are_those_that_dvc_shows(repository):
    commit = head(repository)
    for name in (f"{commit[:2]}/{commit[2:]}/fast", "celery/stash", "exec/EXEC_HEAD"):
        run(repository, "git", "update-ref", f"refs/exps/{name}", commit)
    assert experiments(repository) == {"fast": commit}


def test_a_commit_has_many_names_and_a_name_that_is_none_is_refused(repository):
    commit = head(repository)
    run(repository, "git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/fast", commit)
    for name in ("main", "fast", "HEAD", commit[:8]):
        assert commit_of(repository, name) == commit
    with pytest.raises(InputError, match="nowhere: no experiment, branch, tag or commit"):
        commit_of(repository, "nowhere")


@pytest.mark.parametrize("inside", [".", "lesions", "research/ä b"])
def test_files_are_those_of_the_project_wherever_it_lies_in_the_repository(repository, inside):
    project = repository / inside
    project.mkdir(parents=True, exist_ok=True)
    (repository / "params.yaml").write_text("another: 1\n", encoding="utf-8")
    (project / "params.yaml").write_text("own: 1\n", encoding="utf-8")
    run(repository, "git", "add", ".")
    run(repository, "git", "commit", "--quiet", "--message", "Project")
    assert show(project, "HEAD", "params.yaml") == "own: 1\n"
    assert place(project) == (repository.resolve(), Path(inside))
    with pytest.raises(InputError):
        show(project, "HEAD", "dvc.lock")


def test_experiments_of_others_in_the_repository_are_passed_over(repository):
    commit = head(repository)
    run(repository, "git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/theirs", commit)
    assert experiments(repository) and finished(repository) == {}
