"""How every stage and tool starts and how it fails."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lesion.errors import ImageError, InputError

PROJECT = Path(__file__).resolve().parents[2]


def run(stage: Callable[[], None]) -> None:
    """Runs `stage`, which has no arguments; its module's docstring is what `--help` shows."""
    parser(sys.modules[stage.__module__].__doc__).parse_args()
    with in_project():
        stage()


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows `description` as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def in_project() -> Iterator[None]:
    """Goes to the project's root; bad input ends the process with one line and exit status 1."""
    os.chdir(PROJECT)
    try:
        yield
    except (InputError, ImageError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit(130)
