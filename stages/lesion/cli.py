"""How every stage starts and how it fails."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lesion.errors import ImageError, InputError

PROJECT = Path(__file__).resolve().parents[2]


def run(stage: Callable[[], None]) -> None:
    """Runs `stage` in the project's root; bad input ends it with one line and exit status 1.

    The stage's module docstring is what `--help` shows.
    """
    description = sys.modules[stage.__module__].__doc__
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    os.chdir(PROJECT)
    try:
        stage()
    except (InputError, ImageError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit(130)
