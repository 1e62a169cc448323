"""Puts verified archives into raw/ and lists their pairs of image and mask.

reads   data/ (what data.dvc tracks), or the addresses in datasets.yaml
writes  raw/: the archives, and index.csv with one row a pair
knobs   source (params.yaml)
"""

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lesion import datasets, params
from lesion.archives import find_archives, find_pairs
from lesion.cli import run
from lesion.errors import InputError
from lesion.files import whole_folder, write_csv

DATA = Path("data")
DOWNLOADS = Path("downloads")  # outside raw/, which DVC empties before this stage runs
RAW = Path("raw")


def main() -> None:
    source = params.load(params.DownloadParams).source
    folder = DATA if source == "data" else fetched(source)
    with whole_folder(RAW) as raw:
        for archives in find_archives(folder).values():
            for path in archives:
                link_or_copy(path, raw / path.name)
        pairs = find_pairs(raw)
        write_csv(raw / "index.csv", pd.DataFrame([asdict(pair) for pair in pairs]))
    counts = pd.Series([pair.split for pair in pairs]).value_counts(sort=False)
    print("pairs:", ", ".join(f"{count} {split}" for split, count in counts.items()))


def fetched(source: str) -> Path:
    """The folder with the archives of a data set of datasets.yaml, downloaded and verified."""
    known = datasets.load_datasets()
    if source not in known:
        raise InputError(
            f"{params.PARAMS_FILE}: parameter 'source': found '{source}'; "
            f"expected data or one of {', '.join(known)} (datasets.yaml)"
        )
    folder = DOWNLOADS / source
    datasets.fetch(known[source], folder)
    return folder


def link_or_copy(path: Path, target: Path) -> None:
    """One file under two names where the file system can: archives are large and never change."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


if __name__ == "__main__":
    run(main)
