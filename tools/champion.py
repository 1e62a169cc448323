"""Makes a model the champion of MLflow's registry, if it is better than the one that is.

    python tools/champion.py                 # the model of the workspace
    python tools/champion.py sorer-pall      # of an experiment, branch, tag or commit

Better means on the validation images, image by image: the 95 % interval of the mean difference in
IoU lies above 0 (paired bootstrap). Either way the model becomes a version of the registered model;
`models:/skin-lesion-unet@champion` is what others load. The test split has no say.
"""

import argparse
import io
import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.compare import compare
from lesion.errors import InputError
from lesion.registry import Registry
from lesion.results import in_workspace
from lesion.revisions import commit_of, result_at

ROOT = Path(__file__).resolve().parents[1]

SCORE = "iou"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", nargs="?", help="left out: the workspace")
    given = parser.parse_args()
    os.chdir(ROOT)
    try:
        print(challenge(given.revision))
    except InputError as error:
        sys.exit(f"champion: {error}")


def challenge(revision: str | None) -> str:
    """Registers the model of a revision; what became of it, in words."""
    result = result_at(ROOT, commit_of(ROOT, revision)) if revision else in_workspace()
    store = Registry()
    run = store.run_with(result.hash)
    if run is None:
        raise InputError(
            f"{revision or 'workspace'}: no run with this result in MLflow; `dvc exp apply` and "
            "`python stages/record.py` record it"
        )
    champion = store.champion()
    if champion is None:
        version = store.register(run, champion=True)
        return f"version {version} is the first champion"
    if champion.run_id == run.info.run_id:
        return f"version {champion.version} is this model already"
    comparison = compare(
        per_image(store, champion.run_id), per_image(store, run.info.run_id), "validation"
    )
    row = comparison.scores.set_index("score").loc[SCORE]
    better = row["low"] > 0
    version = store.register(run, champion=better)
    return (
        f"version {version}: validation IoU {row['after']:.4f} against {row['before']:.4f} of "
        f"version {champion.version}, difference {row['difference']:+.4f} "
        f"({row['low']:+.4f} to {row['high']:+.4f}): "
        f"{'the new champion' if better else f'version {champion.version} stays champion'}"
    )


def per_image(store: Registry, run_id: str) -> pd.DataFrame:
    """metrics/per_image.csv as the run keeps it."""
    content = store.artifact(run_id, "metrics/per_image.csv")
    return pd.read_csv(io.StringIO(content), dtype={"id": str}, keep_default_na=False)


if __name__ == "__main__":
    main()
