"""The commands of the pages: run, from their own text, or named here with the reason why not."""

import re
from pathlib import Path

import pytest

from project import ROOT, SMALL, clone, run, set_params

NOT_RUN = {
    "README.md": {
        "make ": "installs all packages; .ci/run does two, test_experiments.py `make experiments`",
        "presets/": "needs real images; test_presets.py has them checked",
        "source=isic2018": "downloads gigabytes; test_download.py does it from a server of its own",
        "path/to/folder": "the address of somebody's data; test_own_data.py imports a folder",
        "data/mine": "the same",
        "Our photographs": "the same",
        "torchrun": "needs several GPUs; test_distributed.py runs it on the processor",
        "tools/predict.py": "of somebody's photographs; test_predict_command.py has some",
        "tools/export.py": "needs further packages; test_onnx_file.py runs it where they are",
    },
    "docs/tracking.md": {
        "make ": "installs all packages; test_experiments.py does `make experiments`",
        "git push": "somebody's repository",
        "path/to/folder": "somebody's storage; test_servers.py has some",
        "dvc push": "to that storage",
        "git clone": "of somebody's repository; test_servers.py clones one",
        "pip install": "is done",
        "AWS_ACCESS": "somebody's keys",
        "mlflow models serve": "a server; test_served_model.py starts it, and asks it as below",
        "printf": "asks that server",
        "curl": "the same",
        "mlflow server": "somebody's servers; test_servers.py starts some",
        "http://server": "the same",
        "dvc gc": "asks first",
    },
}


def commands(page: str) -> list[str]:
    """Every command in a block of shell, without comments and without what it answers."""
    found = []
    text = (ROOT / page).read_text()
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```", text, re.M | re.S):
        lines = block.replace("\\\n", " ").splitlines()
        if kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [line.split(" #")[0].strip() for line in lines]
    return [command for command in found if command]


def reason_not_to_run(page: str, command: str) -> str | None:
    return next((why for part, why in NOT_RUN[page].items() if part in command), None)


@pytest.mark.parametrize("page", NOT_RUN)
def test_a_page_has_commands_and_every_exception_is_of_one_of_them(page):
    assert len(commands(page)) > 20
    for part in NOT_RUN[page]:
        assert any(part in command for command in commands(page)), part


@pytest.mark.slow
@pytest.mark.parametrize("page", NOT_RUN)
def test_all_other_commands_of_a_page_run_one_after_the_other(tmp_path: Path, page: str) -> None:
    folder = clone(tmp_path / "project")
    set_params(folder, **SMALL)
    run(folder, "dvc", "repro")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Small")
    # What the reader puts in: the experiment that ran last, and the run of the workspace.
    names = {"NAME": "", "RUN_ID": ""}
    done = []
    for command in commands(page):
        if reason_not_to_run(page, command):
            continue
        if command.startswith("dvc exp run -S"):
            names["NAME"] = f"number-{len(done)}"
            command += f" --name {names['NAME']}"
        for name, value in names.items():
            command = command.replace(name, value)
        said = run(folder, "bash", "-ec", command).stdout
        done.append(command)
        if command == "python tools/find_run.py":
            names["RUN_ID"] = said.split()[1]
        if command.startswith("dvc queue start"):
            wait = "while dvc queue status | grep -qE 'Queued|Running'; do sleep 1; done"
            run(folder, "bash", "-ec", wait)
    assert len(done) > 8, done


def test_python_of_a_page_that_asks_mlflow_says_where_that_is():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
            assert "mlflow" not in code or "mlflow.set_tracking_uri(" in code, page
