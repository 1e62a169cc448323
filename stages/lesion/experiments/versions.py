"""Versions of the model, and which of them is the champion: in MLflow's registry and in DVC's.

DVC's are tags of git, as GTO makes and DVC reads them: `unet@v0.0.1` a version of the artifact in
dvc.yaml, `unet#champion#1` that it becomes champion. Where the project is the folder `lesions` of a
larger repository, the artifact is `lesions:unet` to DVC, and the tags begin with `lesions=unet`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lesion.experiments.revisions import git, place
from lesion.pipeline.errors import InputError
from lesion.tracking.store import open_store, result_hash, runs_with

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

MODEL = "skin-lesion-unet"
CHAMPION = "champion"
ARTIFACT = "unet"


def artifact_name(project: Path) -> str:
    """What `dvc artifacts get` calls the project's model."""
    _, inside = place(project)
    return ARTIFACT if inside == Path() else f"{inside.as_posix()}:{ARTIFACT}"


def tag_champion(project: Path, commit: str) -> None:
    """Makes a commit's model the one that `dvc artifacts get . unet --stage champion` gets.

    Raises:
        InputError: git has no name for the author of a tag, or the project's folder has one that
            no tag can have.
    """
    from gto.api import assign
    from gto.constants import name_to_tag
    from gto.exceptions import ValidationError
    from scmrepo.exceptions import SCMError

    name = artifact_name(project)
    pattern = f"refs/tags/{name_to_tag(name)}#{CHAMPION}#*"
    tags = git(project, "for-each-ref", "--sort=-version:refname", "--format=%(refname)", pattern)
    if tags and git(project, "rev-parse", f"{tags.split()[0]}^{{commit}}").strip() == commit:
        return
    try:
        # By force: one that was champion before may be it again.
        assign(project, name, CHAMPION, ref=commit, force=True)
    except (SCMError, ValidationError) as error:
        raise InputError(f"tag of champion {commit[:7]}: {error}") from None


class Registry:
    """MLflow's registered model in the store of this project."""

    def __init__(self) -> None:
        self._client, self._experiment = open_store(make=False)

    def run_with(self, result_hash: str, of: str) -> Run:
        """The newest run with a result; `of` is whose that is, for the error.

        Raises:
            InputError: there is none.
        """
        return runs_with(self._client, self._experiment, result_hash, of)[0]

    def champion(self) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(MODEL, CHAMPION)
        except MlflowException as error:
            # The one says a model, the other an alias that is not there.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def register(self, run: Run, champion: bool) -> str:
        """The number of the version that a run's model is, which is made if need be.

        Raises:
            InputError: the run has no model.
        """
        import mlflow

        versions = self._client.search_model_versions(
            f"name='{MODEL}' and run_id='{run.info.run_id}'"
        )
        if versions:
            version = versions[0].version
        else:
            models = run.outputs.model_outputs if run.outputs else []
            if not models:
                raise InputError(
                    f"run {run.info.run_id}: no model in it; expected one, of a result"
                )
            version = mlflow.register_model(f"models:/{models[0].model_id}", MODEL).version
        if champion:
            self._client.set_registered_model_alias(MODEL, CHAMPION, version)
        return version

    def tags(self) -> list[dict[str, str]]:
        """The tags of each version."""
        versions = self._client.search_model_versions(f"name='{MODEL}'", max_results=10_000)
        return [version.tags for version in versions]

    def tag(self, version: str, name: str, value: str) -> None:
        self._client.set_model_version_tag(MODEL, version, name, value)

    def result_hash(self, run_id: str) -> str:
        """What the run has come to.

        Raises:
            InputError: nothing yet.
        """
        return result_hash(self._client.get_run(run_id))

    def artifact(self, run_id: str, path: str) -> str:
        """The text of a file that a run keeps."""
        import mlflow

        return mlflow.artifacts.load_text(f"runs:/{run_id}/{path}")
