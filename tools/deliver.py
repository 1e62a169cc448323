"""Sends to MLflow what could not be sent when it was recorded.

    python tools/deliver.py

Runs wait in mlspool/ where the store could not be reached, or was too slow. Each later run of the
pipeline sends them too.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.delivery import deliver_all
from lesion.spool import entries

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    waiting = len(entries())
    try:
        deliver_all()
    except Exception as error:  # whatever MLflow, its store or the network can raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        sys.exit(f"deliver: MLflow did not take everything ({reason}); {left(waiting)}")
    print(f"sent {waiting - len(entries())} runs; {left(waiting)}")


def left(waiting: int) -> str:
    open_ = len(entries())
    return f"{open_} of {waiting} wait, for the store or for their training to go on"


if __name__ == "__main__":
    main()
