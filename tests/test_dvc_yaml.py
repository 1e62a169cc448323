import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lesion import params

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES = PIPELINE["stages"]
READ = (".html", ".css", ".js")
MODELS = dict(zip(STAGES, params.ALL_STAGES, strict=True))


def imported(path: Path) -> set[Path]:
    """The files of the package `lesion` that a file imports directly, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= module_files(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = path.parents[node.level - 1].relative_to(ROOT / "stages")
                base = ".".join([*folder.parts, *filter(None, [node.module])])
            for alias in node.names:
                found |= module_files(f"{base}.{alias.name}")
    return found


def module_files(name: str) -> set[Path]:
    """The files that importing `name`, a module or something in one, runs."""
    parts = name.split(".")
    if parts[0] != "lesion":
        return set()
    found = set()
    for count in range(1, len(parts) + 1):
        place = (ROOT / "stages").joinpath(*parts[:count])
        files = (place / "__init__.py", place.with_suffix(".py"))
        found |= {file for file in files if file.exists()}
    return found


def all_imported(path: Path) -> set[Path]:
    found, left = set(), {path}
    while left:
        found |= left
        left = set().union(*map(imported, left)) - found
    return found - {path}


def listed_params(name: str) -> set[str]:
    """A stage's parameters; an entry without names is the whole file."""
    listed = STAGES[name].get("params", [])
    whole = params.read(ROOT / "params.yaml").keys() if {"params.yaml": None} in listed else ()
    return {entry for entry in listed if isinstance(entry, str)} | set(whole)


def outputs(stage: dict, kind: str) -> dict[str, dict]:
    """Paths and flags of a stage's outputs of a kind."""
    entries = [entry if isinstance(entry, dict) else {entry: {}} for entry in stage.get(kind, [])]
    return {path: flags or {} for entry in entries for path, flags in entry.items()}


def test_pipeline_has_its_stages_in_order():
    assert list(STAGES) == [
        "download",
        "preprocess",
        "reference",
        "encoder",
        "train",
        "evaluate",
        "plot",
        "record",
    ]


@pytest.mark.parametrize("name", STAGES)
def test_stages_parameters_are_the_fields_of_its_model_and_no_others(name):
    assert MODELS[name].__name__ == f"{name.capitalize()}Params"
    assert listed_params(name) == MODELS[name].model_fields.keys()


def test_parameters_of_all_stages_are_the_keys_of_the_parameter_file():
    listed = set().union(*(listed_params(name) for name in STAGES if name != "record"))
    assert listed == params.read(ROOT / "params.yaml").keys()


@pytest.mark.parametrize("name", STAGES)
def test_stage_loads_its_own_model_first(name):
    tree = ast.parse((ROOT / f"stages/{name}.py").read_text())
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load"
    ]
    first = min(calls, key=lambda node: node.lineno)
    assert ast.unparse(first.args[0]) == f"params.{MODELS[name].__name__}"


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_its_script_and_exactly_the_modules_that_it_imports(name):
    script = ROOT / "stages" / f"{name}.py"
    listed = [dep for dep in STAGES[name]["deps"] if dep.startswith("stages/")]
    modules = {script, *all_imported(script)}
    # A package may have files beside its modules, which it reads.
    packages = {file.parent for file in modules if file.name == "__init__.py"}
    beside = {file for folder in packages for file in folder.iterdir() if file.suffix in READ}
    needed = [file.relative_to(ROOT).as_posix() for file in modules | beside]
    assert sorted(listed) == sorted(needed)


def test_imports_are_found_through_packages_functions_and_type_checking(tmp_path):
    path = tmp_path / "stage.py"
    path.write_text(
        "import lesion.errors as e\n"
        "if TYPE_CHECKING:\n    from lesion import splits, params\n"
        "def f():\n    from lesion.synthetic import lesion_image\n"
    )
    names = {file.relative_to(ROOT / "stages/lesion").as_posix() for file in imported(path)}
    assert {"__init__.py", "errors.py", "splits.py", "params.py"} < names
    assert {"synthetic.py", "synthetic/__init__.py"} & names


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_runs_its_script_and_says_in_prose_what_it_does(name):
    assert STAGES[name]["cmd"] == f"python stages/{name}.py"
    desc = STAGES[name]["desc"]
    assert desc.endswith(".") and len(desc.split()) > 8


@pytest.mark.parametrize("name", STAGES)
def test_dependencies_are_listed_once_and_are_there_or_made_by_an_earlier_stage(name):
    deps = STAGES[name]["deps"]
    assert len(set(deps)) == len(deps)
    made = {"${data}"}  # a parameter
    for stage in list(STAGES.values())[: list(STAGES).index(name)]:
        made |= {path for kind in ("outs", "metrics", "plots") for path in outputs(stage, kind)}
    for dep in deps:
        part_of_output = any(dep == path or dep.startswith(f"{path}/") for path in made)
        assert part_of_output or (ROOT / dep).is_file(), dep


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
