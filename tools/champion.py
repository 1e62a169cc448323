"""Makes a model the champion of MLflow's registry, if it is better than the one that is.

    python tools/champion.py                 # the model of the workspace
    python tools/champion.py sorer-pall      # of an experiment, branch, tag or commit

Better means on the validation images, image by image: the 95 % interval of the mean difference in
IoU lies above 0, for which it takes ten images. Either way the model becomes a version of the
registered model. Others load the champion as `models:/skin-lesion-unet@champion`, or get its
weights by `dvc artifacts get . unet --stage champion` (where the project is a folder of a larger
repository, under the name that this tool prints). The test split has no say.
"""

import io
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.compare import compare
from lesion.experiments.revisions import commit_of, holding, result_of
from lesion.experiments.versions import Registry, artifact_name, tag_champion
from lesion.formats.tables import read_table
from lesion.pipeline.errors import InputError
from lesion.tracking.store import errors_as_input_errors

SCORE = "iou"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("revision", nargs="?", help="left out: the workspace")
    given = arguments.parse_args()
    with in_project(), errors_as_input_errors():
        print(challenge(given.revision))


def challenge(revision: str | None) -> str:
    """Registers the model of a revision; what became of it, in words."""
    result = result_of(PROJECT, revision)
    store = Registry()
    run = store.run_with(result.hash, revision or "workspace")
    champion = store.champion()
    if champion is None:
        version = store.register(run, champion=True)
        return f"version {version} is the first champion; {in_git(revision, result.hash)}"
    if champion.run_id == run.info.run_id:
        return f"version {champion.version} is it already; {in_git(revision, result.hash)}"
    if not champion.run_id:
        raise InputError(
            f"version {champion.version}, the champion, comes from no run; expected one to compare "
            "with: take the alias champion from it in `make mlflow`"
        )
    comparison = compare(
        per_image(store, champion.run_id), per_image(store, run.info.run_id), "validation"
    )
    row = comparison.scores.set_index("score").loc[SCORE]
    better = bool(row["low"] > 0)
    images = len(comparison.images)
    interval = f"{row['low']:+.4f} to {row['high']:+.4f}, {images} images"
    if pd.isna(row["low"]):
        interval = f"{images} images, too few for an interval"
    version = store.register(run, champion=better)
    decision = (
        f"the new champion; {in_git(revision, result.hash)}"
        if better
        else f"version {champion.version} stays champion"
    )
    return (
        f"version {version}: validation IoU {row['after']:.4f} against {row['before']:.4f} of "
        f"version {champion.version}, difference {row['difference']:+.4f} ({interval}): {decision}"
    )


def in_git(revision: str | None, result_hash: str) -> str:
    """Tags the commit of the champion; what was done, in words."""
    commit: str | None
    if revision:
        commit = commit_of(PROJECT, revision)
    elif not (commit := next((commit for _, commit in holding(PROJECT, result_hash)), None)):
        return "no commit holds it: `git commit` it and run this again for `dvc artifacts get`"
    tag_champion(PROJECT, commit)
    return f"tagged commit {commit[:7]} as {artifact_name(PROJECT)}"


def per_image(store: Registry, run_id: str) -> pd.DataFrame:
    """metrics/per_image.csv as the run keeps it."""
    return read_table(io.StringIO(store.artifact(run_id, "metrics/per_image.csv")))


if __name__ == "__main__":
    main()
