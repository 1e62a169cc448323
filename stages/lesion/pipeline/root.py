"""Where the project's root is, and what lies there that outlives a run."""

import os
from pathlib import Path


def project_root() -> Path:
    """The project's root, also where DVC runs a stage in a copy that it throws away afterwards.

    DVC names it in DVC_ROOT; without DVC, stages and tools run in it.
    """
    return Path(os.environ.get("DVC_ROOT") or ".")


def downloads_folder() -> Path:
    """Where downloads are kept."""
    return project_root() / "downloads"
