"""Puts verified archives into raw/ and lists their pairs of image and mask.

reads   the folder `data`: archives, told by their names, or what datasets.yaml describes: folders
        in it, and archives, which are downloaded where neither it nor downloads/ has them
writes  raw/: the archives, and index.csv with one row a pair
knobs   data, source, limit (params.yaml)

A download that was broken off goes on where it stopped. LESION_MIRROR=https://… takes the place of
the addresses in datasets.yaml; HTTPS_PROXY is respected.
"""

from pathlib import Path

from lesion.console.cli import run
from lesion.fetching.collection import Collection, by_archives, by_entry, collect, say
from lesion.fetching.datasets import load_datasets
from lesion.parameters.download import DownloadParams
from lesion.parameters.reading import PARAMS_FILE, load_params
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import whole_folder, write_csv

RAW = Path("raw")


def main() -> None:
    knobs = load_params(DownloadParams)
    data = Path(knobs.data)
    found = by_archives(data) if knobs.source == "data" else named(knobs.source, knobs.limit, data)
    with whole_folder(RAW) as raw:
        table = collect(found, raw, knobs.limit)
        write_csv(raw / "index.csv", table)
    say(found, table)


def named(source: str, limit: int, data: Path) -> Collection:
    """The entry of datasets.yaml that is called `source`."""
    known = load_datasets()
    if source not in known:
        raise InputError(
            f"{PARAMS_FILE}: parameter 'source': found '{source}'; "
            f"expected data (the archives in the folder of that parameter), or one of "
            f"{', '.join(known)} (datasets.yaml)"
        )
    return by_entry(source, known[source], limit, data)


if __name__ == "__main__":
    run(main)
