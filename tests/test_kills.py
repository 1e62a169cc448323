"""A pipeline that is killed and run again ends as one that is not; see kills.py for many more."""

import random

import pytest

from kills import COUNTS, WAYS, Project, attacks, made, outcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("kills")
    return Project(folder / "0", made(folder / "made"))


@pytest.mark.parametrize(
    ("victim", "way"),
    [(victim, list(WAYS)[number % len(WAYS)]) for number, victim in enumerate(COUNTS)],
)
def test_a_pipeline_that_was_killed_ends_as_the_undisturbed_one(
    project: Project, victim: str, way: str
) -> None:
    for seed in range(10):
        one = outcome(project, victim, way, random.Random(seed))
        assert one.faults == []
        if one.came:
            return
    pytest.fail("no kill came before the end")


def test_every_victim_meets_every_way() -> None:
    assert set(attacks(COUNTS)) == {(victim, way) for victim in COUNTS for way in WAYS}
    assert sum(COUNTS.values()) >= 200


def test_what_differs_is_seen(project: Project) -> None:
    project.before("encoder")
    project.again()
    assert list(project.faults()) == []
    with (project.path / "dvc.lock").open("a") as file:
        file.write("# more\n")
    (project.path / "metrics/.x.part").touch()
    (project.path / "model/unet.safetensors").unlink()
    (project.path / "model/unet.safetensors").write_bytes(b"")
    found = " ".join(project.faults())
    for words in ("dvc.lock differs", "unet.safetensors of train differs", "left: metrics/.x.part"):
        assert words in found
