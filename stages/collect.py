"""Puts the data sets of `external` into external_raw/ and lists their pairs of image and mask.

reads   datasets.yaml and data/external/NAME/: the folders of the entry NAME, and its archives,
        which are downloaded where neither it nor downloads/ has them; without an entry, archives
        or images and masks that are named as the ISIC challenges name them
writes  external_raw/NAME/: the archives, and external_raw/index.csv with one row a pair
knobs   external, limit (params.yaml)

No model is trained or chosen on them: the stage external scores it on them.
"""

from pathlib import Path

import pandas as pd

from lesion.console.cli import run
from lesion.fetching.collection import COLUMNS, Collection, by_entry, by_names, collect, say
from lesion.fetching.datasets import load_datasets
from lesion.parameters.collect import CollectParams
from lesion.parameters.reading import PARAMS_FILE, load_params
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import whole_folder, write_csv

DATA = Path("data/external")
RAW = Path("external_raw")


def main() -> None:
    knobs = load_params(CollectParams)
    require_known(knobs.external)
    tables = [pd.DataFrame(columns=["dataset", *COLUMNS])]
    with whole_folder(RAW) as folder:
        for name in knobs.external:
            found = find(name, knobs.limit)
            (folder / name).mkdir()
            table = collect(found, folder / name, knobs.limit)
            say(found, table, name)
            for column in ("image_archive", "mask_archive"):
                table[column] = f"{name}/" + table[column]
            tables.append(table.assign(dataset=name))
        write_csv(folder / "index.csv", pd.concat(tables, ignore_index=True))
    if not knobs.external:
        print(f"no further data sets (external in {PARAMS_FILE})")


def require_known(names: list[str]) -> None:
    """Stops at a name that nothing stands for, before anything is downloaded for another."""
    known = load_datasets()
    for name in names:
        if name not in known and not (DATA / name).is_dir():
            raise InputError(
                f"{PARAMS_FILE}: parameter 'external': found '{name}'; expected a data set of "
                f"datasets.yaml ({', '.join(known)}), or a folder {DATA / name} with images X.jpg "
                "and masks X_segmentation.png; for other names, describe it in datasets.yaml"
            )


def find(name: str, limit: int) -> Collection:
    """The pairs of an entry of datasets.yaml, or those in a folder that has no entry."""
    dataset = load_datasets().get(name)
    return by_entry(name, dataset, limit, DATA / name) if dataset else by_names(DATA / name)


if __name__ == "__main__":
    run(main)
