import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lesion.formats.fingerprint import DECIDES_NOTHING
from lesion.parameters.model import StageParams
from lesion.parameters.reading import read_params
from lesion.parameters.record import RecordParams
from lesion.parameters.whole import ALL_STAGES
from modules import all_imported, room

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES = PIPELINE["stages"]
MODELS = {model.__name__.removesuffix("Params").lower(): model for model in ALL_STAGES}
MODELS["record"] = RecordParams


def listed_params(name: str) -> set[str]:
    """A stage's parameters; an entry without names is the whole file."""
    listed = STAGES[name].get("params", [])
    whole = read_params(ROOT / "params.yaml").keys() if {"params.yaml": None} in listed else ()
    return {entry for entry in listed if isinstance(entry, str)} | set(whole)


def outputs(stage: dict, kind: str) -> dict[str, dict]:
    """Paths and flags of a stage's outputs of a kind."""
    entries = [entry if isinstance(entry, dict) else {entry: {}} for entry in stage.get(kind, [])]
    return {path: flags or {} for entry in entries for path, flags in entry.items()}


def test_pipeline_has_its_stages_in_order():
    assert list(STAGES) == [
        "download",
        "collect",
        "preprocess",
        "baseline",
        "encoder",
        "train",
        "evaluate",
        "external",
        "plot",
        "record",
    ]


@pytest.mark.parametrize("name", STAGES)
def test_stages_parameters_are_the_fields_of_its_model_and_no_others(name):
    fields = MODELS[name].model_fields if name in MODELS else ()
    assert listed_params(name) == set(fields)


def test_parameters_of_all_stages_are_the_keys_of_the_parameter_file():
    listed = set().union(*(listed_params(name) for name in STAGES if name != "record"))
    assert listed == read_params(ROOT / "params.yaml").keys()


@pytest.mark.parametrize("name", STAGES)
def test_stage_loads_its_own_model_first(name):
    tree = ast.parse((ROOT / f"stages/{name}.py").read_text())
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "load_params"
    ]
    first = min(calls, key=lambda node: node.lineno)
    model = MODELS.get(name, StageParams)  # which has none
    assert ast.unparse(first.args[0]) == model.__name__


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_its_script_and_exactly_the_rooms_whose_modules_decide_its_outputs(name):
    script = ROOT / "stages" / f"{name}.py"
    # A run in MLflow is what the stage record is there for.
    watching = set(DECIDES_NOTHING) - ({"tracking"} if name == "record" else set())
    modules = all_imported(script, lambda path: room(path) not in watching)
    rooms = {f"stages/lesion/{room(path)}" for path in modules if room(path)}
    listed = [dep for dep in STAGES[name]["deps"] if dep.startswith("stages/")]
    assert sorted(listed) == sorted([f"stages/{name}.py", "stages/lesion/__init__.py", *rooms])


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_runs_its_script_and_says_in_prose_what_it_does(name):
    assert STAGES[name]["cmd"] == f"python stages/{name}.py"
    desc = STAGES[name]["desc"]
    assert desc.endswith(".") and len(desc.split()) > 8


@pytest.mark.parametrize("name", STAGES)
def test_dependencies_are_listed_once_and_are_there_or_made_by_an_earlier_stage(name):
    deps = STAGES[name]["deps"]
    assert len(set(deps)) == len(deps)
    made = {"${data}", "${exclude}"}  # parameters
    for stage in list(STAGES.values())[: list(STAGES).index(name)]:
        made |= {path for kind in ("outs", "metrics", "plots") for path in outputs(stage, kind)}
    for dep in deps:
        part_of_output = any(dep == path or dep.startswith(f"{path}/") for path in made)
        assert part_of_output or (ROOT / dep).exists(), dep


@pytest.mark.parametrize("name", STAGES)
def test_metrics_and_plots_stay_in_git_and_outputs_keep_the_run_cache(name):
    stage = STAGES[name]
    for kind in ("metrics", "plots"):
        for flags in outputs(stage, kind).values():
            assert flags["cache"] is False and "persist" not in flags
    for flags in outputs(stage, "outs").values():
        # What record does, writing to MLflow, is not in its output: it has to be done each time.
        assert flags == ({"persist": True} if name == "record" else {})
    assert not stage.keys() & {"frozen", "always_changed", "wdir"}


def test_metrics_and_plots_are_outputs_of_stages():
    assert outputs(STAGES["train"], "metrics") and outputs(STAGES["evaluate"], "metrics")
    assert outputs(STAGES["train"], "plots") and outputs(STAGES["evaluate"], "plots")
    assert "metrics" not in PIPELINE
    made = [
        path
        for stage in STAGES.values()
        for kind in ("outs", "plots")
        for path in outputs(stage, kind)
    ]
    drawn = []
    for plot in PIPELINE["plots"]:
        if isinstance(plot, str):
            drawn.append(plot)
        else:
            ((_, options),) = plot.items()
            drawn += options["y"]
    for path in drawn:
        assert any(path == output or path.startswith(f"{output}/") for output in made), path
