"""Draws experiments as parallel coordinates: a line an experiment, an axis a parameter or a score.

    python tools/sweep.py sweep.png                        # all that are finished
    python tools/sweep.py sweep.png NAME NAME …            # these; also branches, tags, commits
    python tools/sweep.py sweep.png --scores best_val_dice validation.dice

The parameters are those in which the experiments differ. The last score colours the lines.
"""

import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.revisions import commit_of, finished, result_at
from lesion.experiments.sweep_figure import parallel_coordinates
from lesion.pipeline.errors import InputError
from lesion.report.figures import save_figure
from lesion.tracking.result import Result

CHOSEN_ON = ("validation.", "best_val_")  # what scores of the validation split are called


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("picture", type=os.path.abspath, help="the PNG to write")
    arguments.add_argument("names", nargs="*", help="left out: all experiments")
    arguments.add_argument("--scores", nargs="+", default=["validation.dice", "test.dice"])
    given = arguments.parse_args()
    with in_project():
        table = differences(results(given.names), given.scores)
        note = f"{len(table)} experiments"
        if any(score.startswith(CHOSEN_ON) for score in given.scores):
            note += "; validation scores flatter: epoch and rules were chosen on them"
        figure = parallel_coordinates(table, note)
        save_figure(figure, Path(given.picture))


def results(names: list[str]) -> dict[str, Result]:
    """Of these, or of all experiments that are finished."""
    if not names:
        return finished(PROJECT)
    return {name: result_at(PROJECT, commit_of(PROJECT, name)) for name in names}


def differences(results: dict[str, Result], scores: list[str]) -> pd.DataFrame:
    """A row an experiment: the parameters that are not the same in all, and the scores."""
    if len(results) < 2:
        raise InputError(f"{len(results)} experiments to draw; expected two or more")
    params = pd.DataFrame([result.params for result in results.values()])
    # A list, as of `external`, is a word on its axis.
    params = params.map(lambda value: str(value) if isinstance(value, list) else value)
    differ = [name for name in params if params[name].astype(str).nunique() > 1]
    for name, result in results.items():
        if missing := [score for score in scores if score not in result.numbers]:
            known = ", ".join(sorted(result.numbers))
            raise InputError(f"{name}: no number {missing[0]}; expected one of {known}")
    numbers = pd.DataFrame([result.numbers for result in results.values()])[scores]
    return pd.concat([params[differ], numbers], axis=1)


if __name__ == "__main__":
    main()
