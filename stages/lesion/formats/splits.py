"""Which pairs are for training, validation and test."""

import hashlib
from collections.abc import Sequence

SPLITS = ("train", "validation", "test")
SCORED = SPLITS[1:]  # those that no weights are fitted to


def assign_splits(
    official: dict[str, str],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    leaders: dict[str, str] | None = None,
) -> dict[str, str]:
    """The split of each id, given the `official` one of each id.

    A split that the data set has is left alone. One that it lacks is taken out of its training
    split, by a hash of the id rather than by shuffling: so an id stays where it is when others are
    added, and on whichever machine. Ids with one entry in `leaders`, near-duplicates of each other,
    go where that entry's hash says, and so together.
    """
    present = set(official.values())
    validation = 0.0 if "validation" in present else val_fraction
    test = 0.0 if "test" in present else test_fraction
    splits = dict(official)
    for name, split in official.items():
        if split == "train":
            place = _place((leaders or {}).get(name, name), seed)
            if place < validation:
                splits[name] = "validation"
            elif place < validation + test:
                splits[name] = "test"
    return splits


def assign_folds(
    official: dict[str, str],
    val_fraction: float,
    folds: int,
    fold: int,
    seed: int,
    leaders: dict[str, str] | None = None,
) -> dict[str, str]:
    """The split of each id in cross-validation, of the `fold`-th of `folds` parts, from 0.

    That part of the training pairs is tested on; over all folds each of them is, once. Of the
    others `val_fraction` is validated on, unless the data set has such a split. Its own test split
    is not touched: its ids are left out of the result. As in `assign_splits`, hashes of ids decide,
    and ids with one leader stay together.
    """
    validation = 0.0 if "validation" in official.values() else val_fraction
    splits = {name: split for name, split in official.items() if split != "test"}
    for name, split in splits.items():
        if split == "train":
            leader = (leaders or {}).get(name, name)
            if int(_place(f"fold:{leader}", seed) * folds) == fold:
                splits[name] = "test"
            elif _place(leader, seed) < validation:
                splits[name] = "validation"
    return splits


def fraction_of(
    ids: Sequence[str], fraction: float, seed: int, groups: Sequence[str] = ()
) -> list[int]:
    """The rows of a fraction of `ids`, at least one; a smaller fraction is part of a larger.

    With `groups`, the name of each one's group or "", there may be more, as groups stay whole.
    """
    order = _hashed_order(ids, seed, groups)
    return sorted(_whole_groups(order, max(1, round(fraction * len(ids))), groups))


def sample_of(ids: Sequence[str], count: int, groups: Sequence[str] = ()) -> list[str]:
    """`count` of `ids`, sorted, or all where they are fewer; a smaller sample is part of a larger.

    Ids next to each other often come from one clinic, so that the first ones are like each other.
    `groups` as in `fraction_of`.
    """
    rows = _whole_groups(_hashed_order(ids, 0, groups), count, groups)
    return sorted(ids[row] for row in rows)


def _hashed_order(ids: Sequence[str], seed: int, groups: Sequence[str]) -> list[int]:
    """The rows of `ids` in an order that looks random; where others are added, it stays.

    Those of a group follow each other.
    """
    leaders = [group or name for group, name in zip(groups or ids, ids, strict=True)]
    return sorted(
        range(len(ids)),
        key=lambda row: (_place(f"fraction:{leaders[row]}", seed), leaders[row], ids[row]),
    )


def _whole_groups(order: Sequence[int], count: int, groups: Sequence[str]) -> Sequence[int]:
    """The first `count` rows, and what else is of the last one's group."""
    if not groups:
        return order[:count]
    while 0 < count < len(order) and groups[order[count]] == groups[order[count - 1]] != "":
        count += 1
    return order[:count]


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that looks random and depends on the name and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
