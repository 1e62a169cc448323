"""Puts verified archives into raw/ and lists their pairs of image and mask.

reads   data/ (what data.dvc tracks), or what datasets.yaml describes: archives that are
        downloaded, or were put into downloads/ or data/ by hand, or folders
writes  raw/: the archives, and index.csv with one row a pair
knobs   source, limit (params.yaml)

A download that was broken off goes on where it stopped. LESION_MIRROR=https://… takes the place of
the addresses in datasets.yaml; HTTPS_PROXY is respected.
"""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lesion import params
from lesion.archives import MASK_SUFFIX, find_archives, find_pairs
from lesion.cli import run
from lesion.datasets import Dataset, load_datasets
from lesion.errors import InputError
from lesion.files import whole_folder, write_csv
from lesion.members import ArchiveMembers, put
from lesion.sources import gather

DATA = Path("data")
RAW = Path("raw")


def main() -> None:
    knobs = params.load(params.DownloadParams)
    if knobs.source == "data":
        sources = {
            split: (ArchiveMembers(found.images), ArchiveMembers(found.masks))
            for split, found in find_archives(DATA).items()
        }
        suffix, expected, lesion_values = MASK_SUFFIX, {}, []
    else:
        dataset = described(knobs.source)
        sources = gather(dataset, knobs.limit, by_hand=[DATA])
        suffix, expected = dataset.mask_suffix, {} if knobs.limit else dataset.counts
        lesion_values = dataset.lesion_values
    with whole_folder(RAW) as raw:
        archives = {
            split: put(split, images, masks, raw, limit=knobs.limit, mask_suffix=suffix)
            for split, (images, masks) in sources.items()
        }
        pairs = find_pairs(archives, suffix)
        table = pd.DataFrame([asdict(pair) for pair in pairs])
        table["lesion_values"] = " ".join(map(str, lesion_values))
        counts = table["split"].value_counts(sort=False)
        for split, count in expected.items():
            if counts[split] != count:
                raise InputError(
                    f"datasets.yaml: {knobs.source}: found {counts[split]} pairs in the {split} "
                    f"split; expected {count}"
                )
        write_csv(raw / "index.csv", table)
    print("pairs:", ", ".join(f"{count} {split}" for split, count in counts.items()))


def described(source: str) -> Dataset:
    """The entry of datasets.yaml that is called `source`; says what to beware of in using it."""
    known = load_datasets()
    if source not in known:
        raise InputError(
            f"{params.PARAMS_FILE}: parameter 'source': found '{source}'; "
            f"expected data or one of {', '.join(known)} (datasets.yaml)"
        )
    dataset = known[source]
    for overlap in dataset.overlaps:
        print(f"note: {source}: {overlap}")
    for archive in dataset.archives:
        if not archive.hash:
            print(f"note: {archive.archive}: no hash is known; the zip's own checksums must do")
    return dataset


if __name__ == "__main__":
    run(main)
