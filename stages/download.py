"""Puts verified archives into raw/ and lists their pairs of image and mask.

reads   the folder `data`: archives, told by their names, or what datasets.yaml describes: folders
        in it, and archives, which are downloaded where neither it nor downloads/ has them
writes  raw/: the archives, and index.csv with one row a pair
knobs   data, source, limit (params.yaml)

A download that was broken off goes on where it stopped. LESION_MIRROR=https://… takes the place of
the addresses in datasets.yaml; HTTPS_PROXY is respected.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from lesion.console.cli import run
from lesion.console.shown import one_line
from lesion.fetching.datasets import Dataset, load_datasets
from lesion.fetching.groups import find_groups
from lesion.fetching.sources import Pairs, gather
from lesion.parameters.download import DownloadParams
from lesion.parameters.reading import PARAMS_FILE, load_params
from lesion.photos.archives import find_archives, find_pairs
from lesion.photos.members import ArchiveMembers, put, remarks
from lesion.photos.names import OFFICIAL
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import whole_folder, write_csv

RAW = Path("raw")


def main() -> None:
    knobs = load_params(DownloadParams)
    data = Path(knobs.data)
    sources: dict[str, Pairs]
    if knobs.source == "data":
        sources = {
            split: ([*map(ArchiveMembers, found.images)], [*map(ArchiveMembers, found.masks)])
            for split, found in find_archives(data).items()
        }
        layout, expected, lesion_values, rule = OFFICIAL, {}, [], None
    else:
        dataset = described(knobs.source)
        sources = gather(dataset, knobs.limit, data)
        layout, expected = dataset.layout, {} if knobs.limit else dataset.counts
        lesion_values, rule = dataset.lesion_values, dataset.groups
    groups_of = partial(find_groups, rule=rule, data=data)
    with whole_folder(RAW) as raw:
        archives = {
            split: put(split, *pairs, raw, limit=knobs.limit, layout=layout, groups_of=groups_of)
            for split, pairs in sources.items()
        }
        pairs = find_pairs(archives, layout)
        table = pd.DataFrame([asdict(pair) for pair in pairs])
        table["lesion_values"] = " ".join(map(str, lesion_values))
        groups = groups_of([*table["id"]])
        if rule and not groups:
            raise InputError(
                f"datasets.yaml: {knobs.source}: groups: tells the group of none of {len(table)} "
                f"images, {table['id'][0]} for one; expected a table or pattern that knows them"
            )
        table["group"] = [groups.get(name, "") for name in table["id"]]
        counts = table["split"].value_counts(sort=False)
        for split, count in expected.items():
            if counts[split] != count:
                raise InputError(
                    f"datasets.yaml: {knobs.source}: found {counts[split]} pairs in the {split} "
                    f"split; expected {count}"
                )
        write_csv(raw / "index.csv", table)
    print("pairs:", ", ".join(f"{count} {split}" for split, count in counts.items()))
    if groups:
        print(f"groups: {len(set(groups.values()))} of {len(groups)} images")
    for images, masks in sources.values():
        for remark in remarks([*images, *masks], layout):
            print(f"note: {remark}")


def described(source: str) -> Dataset:
    """The entry of datasets.yaml that is called `source`; says what to beware of in using it."""
    known = load_datasets()
    if source not in known:
        raise InputError(
            f"{PARAMS_FILE}: parameter 'source': found '{source}'; "
            f"expected data (the archives in the folder of that parameter), or one of "
            f"{', '.join(known)} (datasets.yaml)"
        )
    dataset = known[source]
    for overlap in dataset.overlaps:
        print(f"note: {one_line(f'{source}: {overlap}')}")
    for archive in dataset.archives:
        if not archive.hash:
            print(f"note: {archive.archive}: no hash is known; the zip's own checksums must do")
    return dataset


if __name__ == "__main__":
    run(main)
