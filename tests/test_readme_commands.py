"""The commands of the README: run, from its own text, or named here with the reason why not."""

import re
from pathlib import Path

import pytest

from project import ROOT, SMALL, clone, run, set_params

TEXT = (ROOT / "README.md").read_text()

NOT_RUN = {
    "make ": "installs all packages; .ci/run does `make lint` and `make test`",
    "presets/": "needs real images; test_presets.py has them checked",
    "source=isic2018": "downloads gigabytes; test_download.py does it from a server of its own",
    "path/to/folder": "the address of somebody's data; test_pipeline.py imports a folder",
    "torchrun": "needs several GPUs; test_distributed.py runs it on the processor",
    "'seed=0,1,2'": "three trainings; test_experiments.py runs a queue",
    "RUN_ID": "test_experiments.py has one",
}


def commands() -> list[str]:
    """Every command in a block of shell, without comments and without what it answers."""
    found = []
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```", TEXT, re.M | re.S):
        lines = block.replace("\\\n", " ").splitlines()
        if kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [line.split(" #")[0].strip() for line in lines]
    return [command for command in found if command]


def reason_not_to_run(command: str) -> str | None:
    return next((why for part, why in NOT_RUN.items() if part in command), None)


def test_the_readme_has_commands_and_every_exception_is_of_one_of_them():
    assert len(commands()) > 20
    for part in NOT_RUN:
        assert any(part in command for command in commands()), part


@pytest.mark.slow
def test_all_other_commands_of_the_readme_run_one_after_the_other(tmp_path: Path) -> None:
    folder = clone(tmp_path / "project")
    set_params(folder, **SMALL)
    run(folder, "dvc", "repro")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Small")
    done = []
    for command in commands():
        if reason_not_to_run(command):
            continue
        if command.startswith("dvc exp run -S"):
            command += f" --name number-{len(done)}"
        # The reader puts in a name: here the experiment that ran last.
        named = [word for line in done for word in line.split() if word.startswith("number-")]
        run(folder, "bash", "-ec", command.replace("NAME", named[-1] if named else ""))
        done.append(command)
        if command.startswith("dvc queue start"):
            run(
                folder,
                "bash",
                "-ec",
                "while dvc queue status | grep -qE 'Queued|Running'; do sleep 1; done",
            )
    assert len(done) > 8, done
