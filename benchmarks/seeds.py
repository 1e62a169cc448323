"""Mean and standard deviation over the seeds of DVC's experiments.

    dvc exp run --queue -S 'seed=0,1,2' && dvc exp run --run-all && python benchmarks/seeds.py

Experiments that differ in nothing but their seed make one row. The parameters shown are those that
are not the same in all experiments. `--over train_fraction --picture curve.png` draws the Dice
against that parameter: each experiment a dot, a line through the means. Validation scores flatter:
epoch and rules were chosen on them.
"""

import io
import subprocess
from pathlib import Path

import pandas as pd
from measure import table  # which finds the stages, too
from ruamel.yaml import YAML

from lesion.console.cli import parser
from project import ROOT

SCORES = [
    f"{split}.{score}"
    for split in ("validation", "test")
    for score in ("dice", "iou", "thresholded_iou")
]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--over", metavar="PARAMETER", help="of the picture's horizontal axis")
    arguments.add_argument("--picture", type=Path, help="PNG to write")
    options = arguments.parse_args()
    if bool(options.over) != bool(options.picture):
        arguments.error("--over and --picture need each other")
    shown = subprocess.run(
        ["dvc", "exp", "show", "--csv"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    rows = pd.read_csv(io.StringIO(shown.stdout), keep_default_na=False, na_values=[""])
    done = rows[rows[SCORES].notna().all(axis="columns")]
    # The workspace and the branch repeat what an experiment or a commit has.
    runs = done[done["typ"] != "baseline"] if (done["typ"] != "baseline").any() else done
    params = [name for name in YAML(typ="safe").load(ROOT / "params.yaml") if name != "seed"]
    varied = [name for name in params if runs[name].nunique(dropna=False) > 1]
    groups = runs.groupby(varied, dropna=False) if varied else [((), runs)]
    print(table([row(varied, values, group) for values, group in groups]))
    if options.picture:
        draw(runs, options.over, options.picture)


def row(varied: list[str], values: tuple, group: pd.DataFrame) -> dict[str, str]:
    named = {name: str(value) for name, value in zip(varied, values, strict=True)}
    means, spreads = group[SCORES].mean(), group[SCORES].std()
    scores = {
        score: f"{means[score]:.4f}" + (f" ± {spreads[score]:.4f}" if len(group) > 1 else "")
        for score in SCORES
    }
    return named | {"seeds": ", ".join(str(int(seed)) for seed in sorted(group["seed"]))} | scores


def draw(runs: pd.DataFrame, over: str, path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from lesion.report.figures import BLUE, ORANGE, STYLE, save_figure

    values = runs[over].astype(float)
    with rc_context(STYLE):
        figure = Figure(figsize=(5.5, 3.6), layout="constrained")
        axes = figure.subplots()
        for score, colour, marker in (("validation.dice", BLUE, "o"), ("test.dice", ORANGE, "s")):
            axes.plot(values, runs[score], marker, color=colour, alpha=0.45, markersize=4)
            means = runs.groupby(values)[score].mean()
            axes.plot(means.index, means, color=colour, marker=marker, label=score.split(".")[0])
        if values.min() > 0 and values.max() >= 10 * values.min():
            axes.set_xscale("log")
        axes.set_xticks(sorted(set(values)), [f"{value:g}" for value in sorted(set(values))])
        axes.minorticks_off()
        axes.set(title=f"Dice by {over}", xlabel=over, ylabel="Mean Dice over the images")
        axes.legend(loc="lower right")
        save_figure(figure, path)


if __name__ == "__main__":
    main()
