"""Sends to MLflow what could not be sent when it was recorded.

    python tools/deliver.py

Runs wait in mlspool/ where the store could not be reached, or was too slow. Each later run of the
pipeline sends them too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import in_project, parser
from lesion.pipeline.errors import InputError
from lesion.tracking.delivery import Undelivered, deliver_all
from lesion.tracking.spool import entries


def main() -> None:
    parser(__doc__).parse_args()
    with in_project():
        waiting = len(entries())
        try:
            deliver_all()
        except Undelivered as error:
            raise InputError(f"MLflow did not take everything ({error}); {left(waiting)}") from None
        print(f"sent {waiting - len(entries())} runs; {left(waiting)}")


def left(waiting: int) -> str:
    open_ = len(entries())
    return f"{open_} of {waiting} wait, for the store or for their training to go on"


if __name__ == "__main__":
    main()
