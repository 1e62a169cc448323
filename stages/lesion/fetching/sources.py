"""From an entry of datasets.yaml to images and masks that are at hand on this machine."""

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lesion.console.progress import Progress
from lesion.fetching.datasets import Dataset, Folder, Source
from lesion.fetching.fetch import (
    addresses,
    at_once,
    fetch_missing,
    find,
    only_one,
    require_space,
)
from lesion.fetching.groups import find_groups
from lesion.fetching.remote import RemoteMembers
from lesion.fetching.transfer import PAUSES
from lesion.photos.members import (
    ArchiveMembers,
    FolderMembers,
    GroupsOf,
    Members,
    sample_names,
)
from lesion.photos.names import Layout, Listing, any_pictures
from lesion.pipeline.errors import InputError
from lesion.pipeline.root import downloads_folder

Pairs = tuple[list[Members], list[Members]]  # the images of a split, and its masks


def gather(
    dataset: Dataset,
    limit: int,
    data: Path,
    pauses: Sequence[float] = PAUSES,
) -> dict[str, Pairs]:
    """Images and masks of each split: what is not here yet is downloaded.

    `data` is the folder that has the data set's folders, and archives that were put there by hand.
    With `limit`, only a sample of so many pairs of an archive that is not here.

    Raises:
        InputError: something cannot be had, or is not what datasets.yaml describes.
    """
    folder = downloads_folder()
    for source in dataset.sources:  # before hours of downloading
        if isinstance(source, Folder):
            folder_in(data, source, dataset)
    try:
        with only_one(folder):
            here = find(dataset, folder, data)
            if not limit:
                here |= fetch_missing(dataset, here, folder, pauses)
            return _open(dataset, here, folder, data, limit, pauses)
    except OSError as error:  # the disk is full, mostly
        raise InputError(
            f"{error.filename or folder}: {error.strerror or error}; what was downloaded is kept, "
            "run it again to go on from there"
        ) from None


def folder_in(data: Path, source: Folder, dataset: Dataset) -> FolderMembers:
    """A folder of a data set, in the folder `data`.

    Raises:
        InputError: it is not there, or has neither images nor masks.
    """
    members = FolderMembers(data / source.folder, dataset.obtain, root=data, links=dataset.links)
    if not any_pictures(Listing(members.place, members.names()), dataset.layout):
        way = dataset.obtain or f"expected {dataset.layout.file_of('X', mask=False)}"
        raise InputError(f"{members.place}: no image or mask of this data set in it; {way}")
    return members


def _open(
    dataset: Dataset,
    here: dict[str, Path],
    folder: Path,
    data: Path,
    limit: int,
    pauses: Sequence[float],
) -> dict[str, Pairs]:
    """Images and masks of each split: in folders, in archives here, or some of those elsewhere."""
    stop = threading.Event()

    def opened(source: Source) -> Members:
        if isinstance(source, Folder):
            return folder_in(data, source, dataset)
        if path := here.get(source.archive):
            return ArchiveMembers(path)
        urls = addresses(dataset, source.archive)
        return RemoteMembers(urls, folder / f"{source.archive}.members", source.bytes, pauses, stop)

    tasks = [partial(opened, source) for source in dataset.sources]
    members = dict(zip(dataset.sources, at_once(tasks, stop), strict=True))
    pairs = {
        name: ([members[s] for s in split.images], [members[s] for s in split.masks])
        for name, split in dataset.splits.items()
    }
    groups_of = partial(find_groups, rule=dataset.groups, data=data)
    _fetch_sample(pairs, limit, dataset.layout, groups_of, folder, stop)
    return pairs


def _fetch_sample(
    pairs: dict[str, Pairs],
    limit: int,
    layout: Layout,
    groups_of: GroupsOf,
    folder: Path,
    stop: threading.Event,
) -> None:
    """Fetches the members that will be needed of archives elsewhere, several archives at once."""
    wanted: dict[RemoteMembers, list[str]] = {}
    for sides in pairs.values():
        if any(isinstance(source, RemoteMembers) for side in sides for source in side):
            chosen = sample_names(*sides, limit, layout, groups_of)
            for side, names in zip(sides, chosen, strict=True):
                for source, some in zip(side, names, strict=True):
                    if isinstance(source, RemoteMembers):
                        wanted.setdefault(source, []).extend(some)
    if not wanted:
        return
    lacking = {source: source.lacking(names) for source, names in wanted.items()}
    members = [member for members in lacking.values() for member in members]
    require_space(folder, sum(member.file_size for member in members))
    total = sum(member.compress_size for member in members)
    with Progress("download", total, "B") as progress:
        at_once(
            [
                partial(source.fetch, members, progress.update)
                for source, members in lacking.items()
            ],
            stop,
        )
