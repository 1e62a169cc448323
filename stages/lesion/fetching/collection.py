"""A data set that is at hand: put into a folder of the pipeline, with a list of its pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from lesion.console.shown import one_line
from lesion.fetching.datasets import Dataset
from lesion.fetching.groups import Groups, find_groups
from lesion.fetching.sources import Pairs, gather
from lesion.photos.archives import (
    Pair,
    find_archives,
    find_pairs,
    has_archives,
    is_synthetic,
    join_splits,
)
from lesion.photos.members import (
    ArchiveMembers,
    FolderMembers,
    Members,
    listings,
    put,
    remarks,
)
from lesion.photos.names import OFFICIAL, Layout
from lesion.pipeline.errors import InputError

COLUMNS = [*Pair.__annotations__, "lesion_values", "group"]


@dataclass(frozen=True)
class Collection:
    """Where the images and masks of each split lie, and how they are to be understood.

    `data` is the folder that they, or a table of groups, lie in; `expected` says how many pairs a
    split has, as far as that is known; `entry` is its name in datasets.yaml, or "".
    """

    data: Path
    splits: dict[str, Pairs]
    layout: Layout = OFFICIAL
    expected: dict[str, int] = field(default_factory=dict)
    lesion_values: Sequence[int] = ()
    rule: Groups | None = None
    entry: str = ""

    @property
    def places(self) -> list[Members]:
        """All places with images or masks."""
        return [place for sides in self.splits.values() for side in sides for place in side]

    def groups_of(self, ids: Sequence[str]) -> Mapping[str, str]:
        """A name of its group for each id that has one."""
        return find_groups(ids, self.rule, self.data)


def by_archives(data: Path, required: str | None = "train") -> Collection:
    """The archives in the folder `data`, told by their names; without `required`, of any split."""
    return Collection(
        data,
        {
            split: ([*map(ArchiveMembers, found.images)], [*map(ArchiveMembers, found.masks)])
            for split, found in find_archives(data, required).items()
        },
    )


def by_entry(entry: str, dataset: Dataset, limit: int, data: Path) -> Collection:
    """An entry of datasets.yaml, whose archives are downloaded where neither downloads/ nor the
    folder `data` has them; says what to beware of in using it."""
    for overlap in dataset.overlaps:
        print(f"note: {one_line(f'{entry}: {overlap}')}")
    for archive in dataset.archives:
        if not archive.hash:
            print(f"note: {archive.archive}: no hash is known; the zip's own checksums must do")
    return Collection(
        data,
        gather(dataset, limit, data),
        dataset.layout,
        {} if limit else dataset.counts,
        dataset.lesion_values,
        dataset.groups,
        entry,
    )


def by_names(place: Path) -> Collection:
    """A folder or an archive that no entry describes, with the names of the ISIC challenges:
    archives of those names, or anywhere in it images X.jpg and masks X_segmentation.png."""
    if place.is_dir() and has_archives(place):
        return by_archives(place, required=None)
    archive = place.suffix.lower() == ".zip" and place.is_file()
    expected = "expected a folder or a zip archive with images and masks"
    members = ArchiveMembers(place) if archive else FolderMembers(place, expected)
    return Collection(place.parent if archive else place, {"test": ([members], [members])})


def collect(found: Collection, folder: Path, limit: int) -> pd.DataFrame:
    """Puts the pairs, or a sample of `limit` of each split, into `folder`; a row with COLUMNS each.

    Raises:
        InputError: images and masks are no pairs, or not as many as there should be, or the groups
            that datasets.yaml tells of are nowhere.
    """
    archives = {
        split: put(
            split, *sides, folder, limit=limit, layout=found.layout, groups_of=found.groups_of
        )
        for split, sides in found.splits.items()
    }
    return _listed(found, find_pairs(archives, found.layout))


def in_place(found: Collection) -> pd.DataFrame:
    """The list of `collect` of pairs that stay where they are, by the whole paths of their places.

    Raises:
        InputError: as `collect`.
    """
    sides = {
        split: (listings(images), listings(masks))
        for split, (images, masks) in found.splits.items()
    }
    archives = {place.place for place in found.places if isinstance(place, ArchiveMembers)}
    synthetic = {path for path in archives if is_synthetic(path)}
    return _listed(found, join_splits(sides, found.layout, str, synthetic))


def _listed(found: Collection, pairs: Sequence[Pair]) -> pd.DataFrame:
    table = pd.DataFrame([asdict(pair) for pair in pairs])
    table["lesion_values"] = " ".join(map(str, found.lesion_values))
    groups = found.groups_of([*table["id"]])
    if found.rule and not groups:
        raise InputError(
            f"datasets.yaml: {found.entry}: groups: tells the group of none of {len(table)} "
            f"images, {table['id'][0]} for one; expected a table or pattern that knows them"
        )
    table["group"] = [groups.get(name, "") for name in table["id"]]
    counts = table["split"].value_counts()
    for split, count in found.expected.items():
        if counts[split] != count:
            raise InputError(
                f"datasets.yaml: {found.entry}: found {counts[split]} pairs in the {split} "
                f"split; expected {count}"
            )
    return table


def say(found: Collection, table: pd.DataFrame, what: str = "pairs") -> None:
    """Prints what was found: `table` is of `collect`."""
    counts = table["split"].value_counts(sort=False)
    print(f"{what}:", ", ".join(f"{count} {split}" for split, count in counts.items()))
    if (groups := table.loc[table["group"] != "", "group"]).size:
        print(f"groups: {groups.nunique()} of {len(groups)} images")
    for remark in remarks(found.places, found.layout):
        print(f"note: {remark}")
