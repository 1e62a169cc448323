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


def fraction_of(ids: Sequence[str], fraction: float, seed: int) -> list[int]:
    """The rows of a fraction of `ids`, at least one; a smaller fraction is part of a larger."""
    order = _hashed_order(ids, seed)
    return sorted(order[: max(1, round(fraction * len(ids)))])


def sample_of(ids: Sequence[str], count: int) -> list[str]:
    """`count` of `ids`, sorted, or all where they are fewer; a smaller sample is part of a larger.

    Ids next to each other often come from one clinic, so that the first ones are like each other.
    """
    return sorted(ids[row] for row in _hashed_order(ids, seed=0)[:count])


def _hashed_order(ids: Sequence[str], seed: int) -> list[int]:
    """The rows of `ids` in an order that looks random; where others are added, it stays."""
    return sorted(range(len(ids)), key=lambda row: _place(f"fraction:{ids[row]}", seed))


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that looks random and depends on the name and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
