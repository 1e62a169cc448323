"""Makes a model the champion of MLflow's registry, if it is better than the one that is.

    python tools/champion.py                 # the model of the workspace
    python tools/champion.py sorer-pall      # of an experiment, branch, tag or commit

Better means on the validation images: the mean difference in IoU is more than other images and
other seeds would have changed, for which it takes ten images. Experiments that differ in nothing
but the seed count on their side, and the version is the model that is named. Each further challenge
on the same images has to be surer. Either way the model becomes a version of the registered model.
Others load the champion as `models:/skin-lesion-unet@champion`, or get its
weights by `dvc artifacts get . unet --stage champion` (where the project is a folder of a larger
repository, under the name that this tool prints). The test split has no say.
"""

import io
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.challenges import images_of, level, number, runs_of, tag
from lesion.experiments.compare import compare
from lesion.experiments.recipes import of_one_recipe
from lesion.experiments.revisions import commit_of, holding, result_of
from lesion.experiments.sides import beside
from lesion.experiments.versions import Registry, artifact_name, tag_champion
from lesion.formats.tables import read_table
from lesion.pipeline.errors import InputError
from lesion.tracking.store import errors_as_input_errors

SCORE = "iou"
Tables = list[pd.DataFrame]


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
    before, after, siblings = runs(store, champion.run_id, run.info.run_id, revision)
    comparison = compare(before, after, "validation", (siblings, ()))
    row = comparison.scores.set_index("score").loc[SCORE]
    images, compared = images_of(before[0]), runs_of([*before, *after, *siblings])
    count = number(store.tags(), images, compared)
    better = bool(row["difference"] > 0 and row["seeds_p"] < level(count))
    version = store.register(run, champion=better)
    store.tag(version, tag(images, compared), str(count))
    p = f"p {row['seeds_p']:.4f}" if row["seeds_p"] >= 0.0001 else "p <0.0001"
    chance = f"{row['seeds_low']:+.4f} to {row['seeds_high']:+.4f}, {p}"
    if pd.isna(row["seeds_p"]):
        chance = "too few for an interval"
    decision = (
        f"the new champion; {in_git(revision, result.hash)}"
        if better
        else f"version {champion.version} stays champion"
    )
    return (
        f"version {version}: validation IoU {row['after']:.4f} against {row['before']:.4f} of "
        f"version {champion.version}, difference {row['difference']:+.4f} "
        f"({len(comparison.images)} images, {len(after)} and {len(before)} seeds: {chance}); "
        f"challenge {count} on these images, level {level(count):.4f}: {decision}"
    )


def runs(store: Registry, champion: str, challenger: str, revision: str | None) -> list[Tables]:
    """The champion's and the challenger's, and others that only say what a seed does."""
    before, after = (per_image(store, run_id) for run_id in (champion, challenger))
    held = next((commit for _, commit in holding(PROJECT, store.result_hash(champion))), None)
    others = [*beside(PROJECT, revision).values()]
    if held is None:
        return [[before], [after, *others], []]
    if of_one_recipe(PROJECT, held, revision):
        return [[before], [after], others]
    return [[before, *beside(PROJECT, held).values()], [after, *others], []]


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
