"""The presets are arguments that `dvc exp run` takes, and parameters that the stages take."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lesion.parameters.reading import load_params, read_params
from lesion.parameters.train import TrainParams
from lesion.parameters.whole import ALL_STAGES
from project import ROOT

PRESETS = sorted((ROOT / "presets").iterdir())


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_a_preset_sets_parameters_that_every_stage_accepts(preset: Path, tmp_path: Path) -> None:
    words = preset.read_text().split()
    assert set(words[::2]) == {"-S"} and len(words) % 2 == 0
    changes = dict(word.split("=") for word in words[1::2])
    assert len(changes) == len(words) // 2

    values = read_params(ROOT / "params.yaml")
    path = tmp_path / "params.yaml"
    path.write_text("\n".join(f"{name}: {value}" for name, value in changes.items()))
    changed = values | YAML(typ="safe").load(path)
    assert changed.keys() == values.keys()
    with path.open("w") as file:
        YAML(typ="safe").dump(changed, file)
    for stage in ALL_STAGES:
        load_params(stage, path)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_a_preset_leaves_nothing_of_a_training_to_the_defaults_but_seed_and_data(
    preset: Path,
) -> None:
    named = set(re.findall(r"(\w+)=", preset.read_text()))
    left = set(TrainParams.model_fields) - named
    left -= {"seed", "resize", "train_fraction", "split_seed"}
    of_encoders = {"encoder_lr", "encoder_statistics"}
    assert left <= (of_encoders if "encoder=none" in preset.read_text() else set())


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_the_readme_has_the_command_of_each_preset(preset: Path) -> None:
    assert f"dvc exp run $(cat presets/{preset.name})" in (ROOT / "README.md").read_text()


def test_a_run_with_other_values_has_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import presets

    def finish(folder, **_):  # as if its stages had run
        folder.mkdir()

    monkeypatch.setattr(presets, "stages_in", finish)
    monkeypatch.setattr(presets, "STAGES", ())
    changes = ({}, {"epochs": 1}, {"threads": 1}, {"epochs": 1, "threads": 1})
    folders = [presets.run(tmp_path, tmp_path, "two-minutes", 0, change) for change in changes]
    assert len(set(folders)) == len(changes)
