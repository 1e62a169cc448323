"""Mean and standard deviation over the seeds of DVC's experiments.

    dvc exp run --queue -S 'seed=0,1,2' && dvc exp run --run-all && python benchmarks/seeds.py

Experiments that differ in nothing but their seed make one row. The parameters shown are those that
are not the same in all experiments.
"""

import argparse
import io
import subprocess

import pandas as pd
from measure import table
from ruamel.yaml import YAML

from project import ROOT

SCORES = [
    f"{split}.{score}"
    for split in ("validation", "test")
    for score in ("dice", "iou", "thresholded_iou")
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    shown = subprocess.run(
        ["dvc", "exp", "show", "--csv"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = pd.read_csv(io.StringIO(shown.stdout), keep_default_na=False, na_values=[""])
    done = rows[rows[SCORES].notna().all(axis="columns")]
    # The workspace and the branch repeat what an experiment or a commit has.
    runs = done[done["typ"] != "baseline"] if (done["typ"] != "baseline").any() else done
    params = [name for name in YAML(typ="safe").load(ROOT / "params.yaml") if name != "seed"]
    varied = [name for name in params if runs[name].nunique(dropna=False) > 1]
    groups = runs.groupby(varied, dropna=False) if varied else [((), runs)]
    print(table([row(varied, values, group) for values, group in groups]))


def row(varied: list[str], values: tuple, group: pd.DataFrame) -> dict[str, str]:
    named = {name: str(value) for name, value in zip(varied, values, strict=True)}
    means, spreads = group[SCORES].mean(), group[SCORES].std()
    scores = {
        score: f"{means[score]:.4f}" + (f" ± {spreads[score]:.4f}" if len(group) > 1 else "")
        for score in SCORES
    }
    return named | {"seeds": ", ".join(str(int(seed)) for seed in sorted(group["seed"]))} | scores


if __name__ == "__main__":
    main()
