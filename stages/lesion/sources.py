"""From an entry of datasets.yaml to images and masks that are at hand on this machine."""

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lesion.datasets import Dataset, Folder, Source
from lesion.errors import InputError
from lesion.fetch import (
    addresses,
    at_once,
    downloads_folder,
    fetch_missing,
    find,
    only_one,
    require_space,
)
from lesion.members import ArchiveMembers, FolderMembers, Members, first_pairs
from lesion.progress import Progress
from lesion.remote import RemoteMembers
from lesion.transfer import PAUSES


def gather(
    dataset: Dataset,
    limit: int,
    data: Path,
    pauses: Sequence[float] = PAUSES,
) -> dict[str, tuple[Members, Members]]:
    """Images and masks of each split: what is not here yet is downloaded.

    `data` is the folder that has the data set's folders, and archives that were put there by hand.
    With `limit`, only the first so many pairs of an archive that is not here.

    Raises:
        InputError: something cannot be had, or is not what datasets.yaml describes.
    """
    folder = downloads_folder()
    for split in dataset.splits.values():  # before hours of downloading
        for source in (split.images, split.masks):
            if isinstance(source, Folder):
                FolderMembers(data / source.folder)
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


def _open(
    dataset: Dataset,
    here: dict[str, Path],
    folder: Path,
    data: Path,
    limit: int,
    pauses: Sequence[float],
) -> dict[str, tuple[Members, Members]]:
    """Images and masks of each split: in folders, in archives here, or the first of archives
    elsewhere."""
    stop = threading.Event()

    def opened(source: Source) -> Members:
        if isinstance(source, Folder):
            return FolderMembers(data / source.folder)
        if path := here.get(source.archive):
            return ArchiveMembers(path)
        urls = addresses(dataset, source.archive)
        return RemoteMembers(urls, folder / f"{source.archive}.members", source.bytes, pauses, stop)

    splits = dataset.splits.values()
    sources = list(dict.fromkeys(part for split in splits for part in (split.images, split.masks)))
    members = dict(
        zip(sources, at_once([partial(opened, part) for part in sources], stop), strict=True)
    )
    pairs = {
        name: (members[split.images], members[split.masks])
        for name, split in dataset.splits.items()
    }
    _fetch_first(pairs, limit, dataset.mask_suffix, folder, stop)
    return pairs


def _fetch_first(
    sources: dict[str, tuple[Members, Members]],
    limit: int,
    mask_suffix: str,
    folder: Path,
    stop: threading.Event,
) -> None:
    """Fetches the members that will be needed of archives elsewhere, several archives at once."""
    wanted: dict[RemoteMembers, list[str]] = {}
    for pair in sources.values():
        if any(isinstance(source, RemoteMembers) for source in pair):
            chosen = first_pairs(*pair, limit, mask_suffix)
            for source, names in zip(pair, chosen, strict=True):
                if isinstance(source, RemoteMembers):
                    wanted.setdefault(source, []).extend(names)
    if not wanted:
        return
    lacking = {source: source.lacking(names) for source, names in wanted.items()}
    total = sum(member.compress_size for members in lacking.values() for member in members)
    require_space(folder, total)
    with Progress("download", total, "B") as progress:
        at_once(
            [
                partial(source.fetch, members, progress.update)
                for source, members in lacking.items()
            ],
            stop,
        )
