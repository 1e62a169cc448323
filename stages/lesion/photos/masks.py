"""Which pixels of a mask file are lesion.

A mask has two values, whatever they are: the lower is skin, the higher lesion (levels.py says
what counts as its values). What lies between them, at soft edges or where a JPEG smears, is cut
midway; between 0 and 255 as the challenge's scorer does, lesion being above 128. A mask of one
value tells nothing by itself: the other masks of the data set do (readings.py).

The numbers below were set with masks and photographs of ISIC 2018 (benchmarks/masks.py): as JPEG of
quality 10 to 95, or blurred by up to two pixels, a mask has two values with areas of at least
COMMON and hardly ever a third; a photograph has more, or none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image

from lesion.photos.images import WARNED, exif_turn, gives_stored_pixels, opened, upright
from lesion.photos.levels import COMMON, Key, Levels, candidates, channel
from lesion.pipeline.errors import ImageError

FEW = 16  # values; soft edges have more, so that each of these is meant
FEW_AREA = 25  # pixels that an area of one of those has
LEAST_AREAS = 0.1  # share of the pixels that the areas of a mask's values have
MOST_OUTSIDE = 0.05  # share of the pixels that lie far below or above its two values
DISPUTED = 0.005  # share of the pixels that may be skin or lesion by where a soft edge is cut
CHALLENGE = 128  # of 255; what is above is lesion
Range = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """How a mask's file becomes skin and lesion, as a row of arrays/index.csv says it.

    `channel` of levels.py; `lesion` the ranges of its levels, both ends included, that are
    lesion; `turn` the EXIF orientation by which the stored pixels are turned upright.
    """

    channel: str
    lesion: tuple[Range, ...]
    turn: int

    def columns(self) -> dict[str, object]:
        """As a row of a table with READING_COLUMNS."""
        ranges = " ".join(f"{first}-{last}" for first, last in self.lesion)
        return dict(zip(READING_COLUMNS, (self.channel, ranges or "none", self.turn), strict=True))

    @classmethod
    def from_row(cls, row: object) -> "Reading":
        """From an object with READING_COLUMNS as attributes."""
        name, ranges, turn = (getattr(row, column) for column in READING_COLUMNS)
        found = [] if ranges == "none" else [text.split("-") for text in ranges.split()]
        return cls(name, tuple((int(first), int(last)) for first, last in found), int(turn))


READING_COLUMNS = ["mask_channel", "mask_lesion", "mask_turn"]


@dataclass(frozen=True)
class Values:
    """What a mask by itself says of its values.

    `levels` are those that it has areas of: skin and lesion, or one alone, in `channel`, of `top`
    at most; `keys` their colours. `alpha` is the only opacity of a mask that has one colour alone.
    `soft` masks have others beside. Of a mask of one value `doubt` says why it cannot be used
    unless other masks tell what that value is, and `disputed` why not even where they have 0 and
    255. `named` are the values of a mask whose data set names those that are lesion.
    """

    channel: str
    levels: tuple[int, ...]
    keys: tuple[Key, ...]
    top: int
    alpha: int | None = None
    soft: bool = False
    doubt: str = ""
    disputed: str = ""
    named: bool = False


@dataclass(frozen=True)
class Mask:
    """A mask in full size as a grey image of 0 and 255 only, and what was unusual about its file.

    `lesion` is the number of its pixels that are 255. `exif` is the orientation that the file
    itself tells, None where it tells none, and `own_turn` what is left to do by it, as Pillow
    turns some files. `values` is what it says of its values, None where a `reading` was given.
    """

    image: Image.Image
    lesion: int
    notes: tuple[str, ...]
    reading: Reading
    exif: int | None
    own_turn: int
    values: Values | None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)"""
        return self.image.size[::-1]

    def turned(self, turn: int) -> "Mask":
        """As if its stored pixels had that EXIF orientation."""
        back = {6: 8, 8: 6}.get(self.reading.turn, self.reading.turn)
        pixels = upright(upright(np.asarray(self.image), back), turn)
        return replace(
            self, image=Image.fromarray(pixels), reading=replace(self.reading, turn=turn)
        )


def open_mask(
    content: bytes, reading: Reading | None = None, lesion_values: Sequence[int] = ()
) -> Mask:
    """A mask by that reading, else by what it says itself.

    With `lesion_values` the levels of those values are lesion, however many others there are.
    Notes say what was unusual, such as other values than 0 and 255.

    Raises:
        ImageError: the content is no image, not a whole one, or no mask of two values.
    """
    with opened(content) as image:
        exif, values = exif_turn(image), None
        own_turn = (exif or 1) if gives_stored_pixels(image) else 1
        if not gives_stored_pixels(image) and exif == 1:
            exif = None  # every TIFF says so
        if reading:
            levels = channel(image, content, reading.channel)
        else:
            if lesion_values:
                levels, lesion, values = _named(image, content, lesion_values)
            else:
                levels, lesion, values = _found(image, content)
            reading = Reading(levels.channel, lesion, own_turn)
        where = np.zeros(levels.top + 1, bool)
        for first, last in reading.lesion:
            where[first : last + 1] = True
        grey = levels.pixels
        plain = not set(levels.present) - {0, 255} and not where[0] and where[255]
        if not isinstance(grey, Image.Image) or not plain:
            grey = levels.where(where)
        pixels = upright(np.asarray(grey), reading.turn) if reading.turn != 1 else None
        return Mask(
            image=grey if pixels is None else Image.fromarray(pixels),
            lesion=int(levels.counts[where].sum()),
            notes=tuple(_notes(levels, bool(lesion_values))),
            reading=reading,
            exif=exif,
            own_turn=own_turn,
            values=values,
        )


def decode_mask(content: bytes, reading: Reading | None = None) -> np.ndarray:
    """A mask as `open_mask` understands it, H×W bool: True in the lesion.

    Raises:
        ImageError: the content is no image, not a whole one, or no mask of two values.
    """
    mask = open_mask(content, reading)
    if mask.values and mask.values.doubt:
        raise ImageError(mask.values.doubt)
    return np.asarray(mask.image) > 127


def midway(low: int, high: int, top: int) -> tuple[Range, ...]:
    """The levels above the middle of two; of the challenge's, or nearly, above CHALLENGE."""
    challenge = top == 255 and low < 32 and high > 223
    return (((CHALLENGE if challenge else (low + high) // 2) + 1, top),)


def _found(image: Image.Image, content: bytes) -> tuple[Levels, tuple[Range, ...], Values]:
    """The first channel that has two values, else the first; what is lesion in it; its values."""
    single = []
    for levels in candidates(image, content):
        separate = _separate(levels)
        if len(separate) > 2:
            raise ImageError(_too_many(levels, separate))
        if len(separate) == 2:
            low, high = separate
            if text := _disputed(levels, low, high):
                raise ImageError(text)
            return levels, midway(low, high, levels.top), _values(levels, separate)
        single.append((levels, separate))
    levels, separate = single[0]
    if not separate:
        raise ImageError(_no_mask(levels))
    lesion, values = midway(0, levels.top, levels.top), _values(levels, separate)
    if values.soft:
        return levels, lesion, _one_with_others(levels, values, lesion[0][0])
    alphas = [other.present[0] for other, _ in single[1:] if other.channel == "alpha"]
    doubt = "" if separate[0] in (0, levels.top) else _alone(separate[0])
    return levels, lesion, replace(values, alpha=alphas[0] if alphas else None, doubt=doubt)


def _one_with_others(levels: Levels, values: Values, lowest: int) -> Values:
    """`values` of a mask that has areas of one alone, where lesion would begin at `lowest`."""
    disputed = _disputed(levels, 0, levels.top)
    at_an_end = not levels.top <= 8 * values.levels[0] <= 7 * levels.top
    if at_an_end and levels.present[0] < lowest <= levels.present[-1]:
        return replace(values, doubt=disputed, disputed=disputed)
    return replace(values, doubt=_alone(values.levels[0]), disputed=disputed)


def _named(
    image: Image.Image, content: bytes, lesion_values: Sequence[int]
) -> tuple[Levels, tuple[Range, ...], Values]:
    """As `_found`, where the data set says which values are lesion."""
    found = list(candidates(image, content))
    levels = next((each for each in found if len(each.present) > 1), found[0])
    values = replace(_values(levels, levels.present), named=True)
    if len(levels.present) <= FEW:
        return levels, tuple((value, value) for value in sorted(set(lesion_values))), values
    separate = _separate(levels)  # of a JPEG: to each what is nearest to it
    if not separate:
        raise ImageError(_no_mask(levels))
    ends = [(low + high) // 2 for low, high in pairwise(separate)]
    ranges = zip([0, *(end + 1 for end in ends)], [*ends, levels.top], strict=True)
    near = min((high - low for low, high in pairwise(separate)), default=0) / 8
    lesion = tuple(
        each
        for each, level in zip(ranges, separate, strict=True)
        if min(abs(level - value) for value in lesion_values) <= near
    )
    return levels, lesion, replace(values, levels=tuple(separate))


def _separate(levels: Levels) -> list[int]:
    """The levels that are values of a mask, and not what lies between two of them."""
    present, few = levels.present, len(levels.present) <= FEW
    if len(present) <= 2:
        return present
    areas, pixels = levels.areas(), levels.counts.sum()
    if few and not areas.any():  # too small a picture to have any
        return [present[0], present[-1]]
    least = min(COMMON * pixels, FEW_AREA) if few else COMMON * pixels
    separate = np.flatnonzero(areas >= max(1, least)).tolist()
    if few or len(separate) > 2:
        return separate
    if areas[separate].sum() < LEAST_AREAS * pixels or _outside(levels, separate) > MOST_OUTSIDE:
        return []
    return separate


def _outside(levels: Levels, separate: list[int]) -> float:
    """Share of the pixels that lie further from two values than half of what is between them."""
    if len(separate) < 2:
        return 0.0
    low, high = separate
    beyond = (high - low) // 2 + 1
    inside = levels.counts[max(0, low - beyond) : high + beyond + 1].sum()
    return 1 - inside / levels.counts.sum()


def _values(levels: Levels, separate: list[int]) -> Values:
    keys = tuple(levels.colour(level) for level in separate)
    soft = len(levels.present) > len(separate)
    return Values(levels.channel, tuple(separate), keys, levels.top, soft=soft)


def _notes(levels: Levels, named: bool) -> Iterator[str]:
    if levels.warned:
        yield WARNED
    channel = "" if levels.channel == "grey" else f"{levels.channel} "
    present = levels.present
    if named:
        yield "mask by lesion values"
    elif len(present) > 2:
        yield f"mask of several {channel}values"
    elif channel or set(present) - {0, 255}:
        yield f"mask of {channel}{' and '.join(map(str, present))}"


def _shares(levels: Levels, values: Sequence[int]) -> str:
    """Of all pixels, each taken for that of `values` which is nearest to its level."""
    ends = [(low + high) // 2 + 1 for low, high in pairwise(values)]
    counts = [part.sum() / levels.counts.sum() for part in np.split(levels.counts, ends)]
    said = [f"{value} ({share:.1%})" for value, share in zip(values, counts, strict=True)]
    return ", ".join(said[:8]) + (", …" if len(said) > 8 else "")


def _too_many(levels: Levels, separate: list[int]) -> str:
    return (
        f"{len(separate)} separate values, {_shares(levels, separate)}; expected two, skin and "
        f"lesion; say which are lesion, as in lesion_values: {separate[1:8]}, in the data set's "
        "entry in datasets.yaml"
    )


def _no_mask(levels: Levels) -> str:
    return (
        f"no two values: {len(levels.present)} levels from {levels.present[0]} to "
        f"{levels.present[-1]}, as in a photograph; expected areas of two, skin and lesion"
    )


def _disputed(levels: Levels, low: int, high: int) -> str:
    """What is wrong where much is skin or lesion by the place at which a soft edge is cut."""
    above = [levels.counts[low + (high - low) * n // 4 + 1 :].sum() for n in (1, 3)]
    more, less = (count / levels.counts.sum() for count in above)
    if len(levels.present) == 2 or more - less <= DISPUTED or 3 * less >= more:
        return ""
    return (
        f"soft throughout: {more:.1%} of it lies above a quarter of the way from {low} to {high}, "
        f"{less:.1%} above three quarters; expected two values; cut it where you think right"
    )


def _alone(level: int) -> str:
    return (
        f"{level} is the only value that it has areas of, and no other mask tells whether that is "
        f"skin or lesion; expected 0 or 255; if it is lesion, say lesion_values: [{level}] in "
        "the data set's entry in datasets.yaml"
    )
