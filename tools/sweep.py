"""Draws experiments as parallel coordinates: a line an experiment, an axis a parameter or a score.

    python tools/sweep.py sweep.png                        # all experiments of this repository
    python tools/sweep.py sweep.png NAME NAME …            # these; also branches, tags, commits
    python tools/sweep.py sweep.png --scores best_val_dice validation.dice

The parameters are those in which the experiments differ. The last score colours the lines.
"""

import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.cli import PROJECT, in_project, parser
from lesion.errors import InputError
from lesion.figures import save_figure
from lesion.revisions import commit_of, experiments, result_at
from lesion.sweep_figure import parallel_coordinates


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("picture", type=os.path.abspath, help="the PNG to write")
    arguments.add_argument("names", nargs="*", help="left out: all experiments")
    arguments.add_argument("--scores", nargs="+", default=["validation.dice", "test.dice"])
    given = arguments.parse_args()
    with in_project():
        names = given.names or sorted(experiments(PROJECT))
        table = differences(names, given.scores)
        figure = parallel_coordinates(table, f"{len(table)} experiments")
        save_figure(figure, Path(given.picture))


def differences(names: list[str], scores: list[str]) -> pd.DataFrame:
    """A row an experiment: the parameters that are not the same in all, and the scores."""
    if len(names) < 2:
        raise InputError(f"{len(names)} experiments to draw; expected two or more")
    results = {name: result_at(PROJECT, commit_of(PROJECT, name)) for name in names}
    params = pd.DataFrame([result.params for result in results.values()])
    differ = [name for name in params if params[name].astype(str).nunique() > 1]
    for name, result in results.items():
        if missing := [score for score in scores if score not in result.numbers]:
            known = ", ".join(sorted(result.numbers))
            raise InputError(f"{name}: no number {missing[0]}; expected one of {known}")
    numbers = pd.DataFrame([result.numbers for result in results.values()])[scores]
    return pd.concat([params[differ], numbers], axis=1)


if __name__ == "__main__":
    main()
