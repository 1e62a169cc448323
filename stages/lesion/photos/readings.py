"""What the masks of a data set tell of each other, where one by itself does not say enough.

A mask of one value is skin or lesion by what that value is in the masks of two. How the mask of a
photograph that EXIF turns was drawn is told by its colours, or by the others of its data set.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lesion.photos.levels import Key
from lesion.photos.masks import Range, Reading, Values, midway
from lesion.photos.turns import Turn
from lesion.pipeline.errors import InputError

# Of 5395 turns and mirrorings of 800 ISIC 2018 photographs at 64 pixels, 67 % favour the right
# reading by so much, and 0.1 % the wrong one (benchmarks/masks.py).
CLEAR = 0.2
AGREEING = 0.9  # least share of the clear pairs of a data set that speak for those that are not


@dataclass(frozen=True)
class Evidence:
    """What a pair says of its mask by itself: the reading, so far, and what it rests on."""

    id: str
    archive: str
    reading: Reading
    values: Values
    turn: Turn | None


def settle(pairs: Sequence[Evidence]) -> list[Reading | str]:
    """How each mask is to be read, or why that cannot be known.

    Raises:
        InputError: one value is skin in a mask and lesion in another.
    """
    _require_one_meaning(pairs)
    by_archive: dict[str, Counter[Values]] = {}
    for pair in pairs:
        if len(pair.values.levels) == 2 and not pair.values.named:
            by_archive.setdefault(pair.archive, Counter())[pair.values] += 1
    everywhere = sum(by_archive.values(), Counter())
    stored = _drawn_on_stored_pixels(pair.turn for pair in pairs if pair.turn)
    settled = []
    for pair in pairs:
        own = by_archive.get(pair.archive, Counter())
        reading = _by_values(pair, own, everywhere)
        settled.append(reading if isinstance(reading, str) else _by_turn(pair, reading, stored))
    return settled


def _require_one_meaning(pairs: Sequence[Evidence]) -> None:
    meanings: dict[Key, list[Evidence | None]] = {}
    for pair in pairs:
        if len(pair.values.levels) == 2 and not pair.values.named:
            for place, key in enumerate(pair.values.keys):
                meanings.setdefault(key, [None, None])[place] = pair
    for key, (skin, lesion) in meanings.items():
        if skin and lesion:
            channels = {skin.values.channel, lesion.values.channel}
            what = key[0] if channels <= {"grey", "alpha"} else f"the colour {key}"
            said = " and ".join(
                f"the mask of {pair.id} has the values {pair.values.levels[0]} and "
                f"{pair.values.levels[1]}"
                for pair in (skin, lesion)
            )
            raise InputError(
                f"{skin.archive}: {said}, so that {what} is skin in one and lesion in the "
                "other; expected one meaning; say which values are lesion with lesion_values in "
                "the data set's entry in datasets.yaml"
            )


def _by_values(pair: Evidence, own: Counter[Values], everywhere: Counter[Values]) -> Reading | str:
    """The reading, by the masks of two values in its archive, else in all, if it has only one."""
    values, reading = pair.values, pair.reading
    if len(values.levels) == 2 or values.named:
        return reading
    if values.soft:
        lesion = _cut_as(values, own) or _cut_as(values, everywhere)
        if not lesion:
            return values.doubt or reading
        if lesion == reading.lesion:
            return values.disputed or reading
        return replace(reading, lesion=lesion)
    meanings = _meanings(values, own) or _meanings(values, everywhere)
    if len(meanings) != 1:
        return values.doubt or reading
    (level,), (is_lesion,) = values.levels, meanings
    if is_lesion == any(first <= level <= last for first, last in reading.lesion):
        return reading
    return replace(reading, lesion=((level, level),) if is_lesion else ())


def _cut_as(values: Values, known: Counter[Values]) -> tuple[Range, ...]:
    """Where most masks are cut that have the only value of this one, and another."""
    for other, _ in known.most_common():
        alike = (other.channel, other.top) == (values.channel, values.top)
        if alike and values.levels[0] in other.levels:
            skin, lesion = other.levels
            return midway(skin, lesion, other.top)
    return ()


def _meanings(values: Values, known: Iterable[Values]) -> set[bool]:
    """Whether the only value of a mask is lesion in others; by its colour, or by its opacity."""
    keys = {values.keys[0], (values.alpha,)}
    return {bool(place) for other in known for place, key in enumerate(other.keys) if key in keys}


def _drawn_on_stored_pixels(turns: Iterable[Turn]) -> bool | None:
    """Whether the masks of a data set were, as far as it is clear; None where it is not."""
    favours = [turn.favour for turn in turns]
    clear = [favour > 0 for favour in favours if abs(favour) >= CLEAR]
    if not clear and abs(sum(favours)) >= CLEAR:
        return sum(favours) > 0
    if not clear or 1 - AGREEING < sum(clear) / len(clear) < AGREEING:
        return None
    return sum(clear) / len(clear) >= AGREEING


def _by_turn(pair: Evidence, reading: Reading, others: bool | None) -> Reading | str:
    """The reading, turned as the photograph where the mask was drawn on its stored pixels."""
    turn = pair.turn
    if turn is None:
        return reading
    stored = turn.favour > 0 if abs(turn.favour) >= CLEAR else others
    if stored is None and not (turn.same or turn.declared):
        return (
            f"its EXIF turns the image (orientation {turn.by}), and neither colours nor other "
            "pairs tell whether the mask was drawn upright or on the stored pixels; expected the "
            "same EXIF in the mask, or none in an image whose pixels are upright"
        )
    return replace(reading, turn=turn.by) if stored else reading
