"""Shows the runs in a browser: MLflow's pages over the store of this project.

    python tools/show_runs.py                # `make mlflow` does the same
    python tools/show_runs.py --port 5001    # with any option of `mlflow ui`

A server of MLflow that MLFLOW_TRACKING_URI names shows them itself.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import in_project, parser
from lesion.tracking import store
from lesion.tracking.address import DATABASES, is_folder, redacted, scheme
from lesion.tracking.database import new_experiment


def main() -> None:
    _, options = parser(__doc__).parse_known_args()
    with in_project(), store.errors_as_input_errors():
        client, _ = store.open_store()
        address = client.tracking_uri
        if scheme(address) not in DATABASES and not is_folder(address):
            print(f"the runs are shown by {redacted(address)}")
            return
        # In the environment, since all users of a machine see what programs were started with.
        os.environ["MLFLOW_BACKEND_STORE_URI"] = os.environ.pop("MLFLOW_TRACKING_URI")
        if files := new_experiment(address).get("artifact_location"):
            # Of use to the stages too, where an experiment is made in the pages.
            options = ["--default-artifact-root", files, *options]
        os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *options])


if __name__ == "__main__":
    main()
