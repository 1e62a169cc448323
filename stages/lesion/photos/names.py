"""What the names of files say: which are images and which masks, whose pair they are, and what lies
beside them.

A member is named by its way from the top of the archive or folder that holds it, folders being
separated by "/", or by "\\" where Windows packed it. The id of an image or a mask is what is left
of its name without folders, suffix and type, in Unicode's composed form: a Mac takes the letters of
a name apart ("a" and a diaeresis for "ä"), and the two look the same.
"""

import os
import re
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Generic, NamedTuple, TypeVar

from lesion.pipeline.errors import InputError

MASK_SUFFIX = "_segmentation"
_IMAGE_TYPES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp"}
# Texts, tables and lists of checksums. Not what may hold images or masks in another form, such as
# .dcm, .npy, .mat or .mp4: somebody may mean that.
_TEXT_TYPES = {
    *(".txt", ".text", ".md", ".rst", ".rtf", ".html", ".htm", ".pdf", ".doc", ".docx", ".odt"),
    *(".csv", ".tsv", ".tab", ".xls", ".xlsx", ".ods", ".json", ".jsonl", ".xml"),
    *(".yaml", ".yml", ".toml", ".ini", ".log", ".bib", ".cff", ".url"),
    *(".md5", ".sha1", ".sha256", ".sha512", ".py", ".m", ".ipynb", ".sh"),
}
_RIGHTS = {"license", "licence", "attribution", "copying"}
_RIGHTS_FOLDERS = {"licenses", "licences"}  # as the ISIC archive's own tool makes
_TEXTS_WITHOUT_TYPE = _RIGHTS | {"readme", "notice", "authors", "changelog"}
_OF_THE_SYSTEM = {"thumbs.db", "desktop.ini", "icon\r"}
# OWASP on injection into CSV; spreadsheets know the wide forms too.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
LONGEST = 200  # bytes of an id; file systems take names of 255
_DRIVE = re.compile(r"[A-Za-z]:")
_REPACK = "pack it anew with names in UTF-8 (7-Zip: parameter cu=on)"


@dataclass(frozen=True)
class Layout:
    """How files are named: an image X`image_suffix`.jpg, say, and its mask X`mask_suffix`.png.

    Suffixes are the same in upper and lower case. The names of the last `folders_in_id` folders
    belong to the id. Files that match a pattern of `ignore`, in which `*` stands for anything,
    folders included, are passed over.
    """

    image_suffix: str = ""
    mask_suffix: str = MASK_SUFFIX
    ignore: tuple[str, ...] = ()
    folders_in_id: int = 0

    def file_of(self, name: str, *, mask: bool) -> str:
        """What the mask, or image, that is called `name` without suffix may be called in full."""
        return f"{name}{self.mask_suffix}.png" if mask else f"{name}{self.image_suffix}.jpg"

    def is_mask(self, stem: str) -> bool:
        """Whether a file in a place of images and masks is a mask: the longer suffix tells."""
        an_image = len(self.image_suffix) > len(self.mask_suffix) and _ends(stem, self.image_suffix)
        return _ends(stem, self.mask_suffix) and not an_image

    def name_of(self, file: PurePosixPath, *, mask: bool) -> str | None:
        """The name of a mask, or of an image, without its suffix; None where it has another."""
        stem, suffix = _composed(file.stem), self.mask_suffix if mask else self.image_suffix
        if not _ends(stem, suffix) or (not mask and self.mask_suffix and self.is_mask(stem)):
            return None
        return stem[: len(stem) - len(_composed(suffix))]

    def id_of(self, file: PurePosixPath, *, mask: bool) -> str | None:
        """The id of a mask, or of an image; None where it is not named like one."""
        name = self.name_of(file, mask=mask)
        if name is None:
            return None
        folders = file.parent.parts[-self.folders_in_id :] if self.folders_in_id else ()
        return "_".join(part for part in (*map(_composed, folders), name) if part) or None


OFFICIAL = Layout()  # of the ISIC challenges: X.jpg, X_segmentation.png


Place = TypeVar("Place", bound=Hashable)


class Listing(NamedTuple, Generic[Place]):
    """The names of all files in one place: an archive, a folder, or an address."""

    place: Place
    names: list[str]


class Member(NamedTuple, Generic[Place]):
    """One of the files in a place."""

    place: Place
    name: str


def join_members(
    images: Sequence[Listing[Place]], masks: Sequence[Listing[Place]], layout: Layout = OFFICIAL
) -> dict[str, tuple[Member[Place], Member[Place]]]:
    """For each id, in order: its image and its mask. A place of both may hold both.

    Raises:
        InputError: there are none, an image has no mask or the reverse, an id occurs twice, a name
            leads out of its place or cannot be written in UTF-8, or there is something else among
            them.
    """
    image_of = _by_id(images, masks, layout, mask=False)
    mask_of = _by_id(masks, images, layout, mask=True)
    if not image_of and not mask_of:
        raise InputError(
            f"{_places(images)}: no image in it; expected at least one "
            f"{layout.file_of('X', mask=False)}"
        )
    without_mask = sorted(image_of.keys() - mask_of.keys())
    without_image = sorted(mask_of.keys() - image_of.keys())
    hint = _hint(without_mask, without_image)
    for ids, have, places, what in (
        (without_mask, image_of, masks, "mask of image"),
        (without_image, mask_of, images, "image of mask"),
    ):
        if ids:
            lonely, of_masks = have[ids[0]].name, have is mask_of
            name = layout.name_of(inner_path(lonely), mask=of_masks)
            assert name is not None  # it has an id
            raise InputError(
                f"{_places(places)}: no {what} {lonely}, one of {len(ids)} without; "
                f"expected {layout.file_of(name, mask=not of_masks)} in it{hint}"
            )
    return {name: (image_of[name], mask_of[name]) for name in sorted(image_of)}


def any_pictures(listing: Listing, layout: Layout) -> bool:
    """Whether an image or a mask is in a place."""
    return any(
        layout.id_of(file, mask=mask) is not None
        for file in map(inner_path, listing.names)
        if file.suffix.lower() in _IMAGE_TYPES
        for mask in (False, True)
    )


def passed_over(listing: Listing, layout: Layout) -> list[str]:
    """The files beside images and masks that are not used, in order, without the system's own."""
    files = ((name, inner_path(name)) for name in listing.names if not _is_folder(name))
    return sorted(
        name
        for name, file in files
        if not _is_of_the_system(file) and not _is_note(file) and _lies_beside(file, layout)
    )


def notes(listing: Listing, layout: Layout) -> list[str]:
    """The licences and attributions, which go with the images everywhere."""
    files = ((name, inner_path(name)) for name in listing.names if not _is_folder(name))
    return [
        name
        for name, file in files
        if _is_note(file) and not _is_of_the_system(file) and not _is_ignored(file, layout)
    ]


def meant_as_photographs(names: Iterable[str], layout: Layout = OFFICIAL) -> list[str]:
    """Files of a place that may be anything: all but texts, masks, and what systems leave there."""
    return [
        name
        for name in names
        if not _is_folder(name)
        and not _is_of_the_system(file := inner_path(name))
        and not _lies_beside(file, layout)
        and not layout.is_mask(file.stem)
    ]


def inner_path(name: str) -> PurePosixPath:
    """Where a member lies in its archive or folder."""
    return PurePosixPath(name.replace("\\", "/"))


def wrong_encoding(error: UnicodeDecodeError) -> str:
    """What to do about an archive whose names are said to be UTF-8 and are not."""
    return f"the name of a member is said to be UTF-8 and is {error.object!r}; {_REPACK}"


def _by_id(
    listings: Iterable[Listing[Place]],
    others: Iterable[Listing[Place]],
    layout: Layout,
    *,
    mask: bool,
) -> dict[str, Member[Place]]:
    """Ids, and the members that hold their masks, or their images."""
    members: dict[str, Member[Place]] = {}
    of_both = {listing.place for listing in others}
    for place, names in listings:
        for name in names:
            file = inner_path(name)
            if file.is_absolute() or ".." in file.parts or _DRIVE.match(name):
                raise InputError(f"{place}: found {name!r}, which leads out of it; get it anew")
            if _is_folder(name) or _is_of_the_system(file) or _is_ignored(file, layout):
                continue
            require_text(name, place)
            if _lies_beside(file, layout):
                continue
            known = file.suffix.lower() in _IMAGE_TYPES
            if known and place in of_both and layout.is_mask(_composed(file.stem)) != mask:
                continue
            key = layout.id_of(file, mask=mask) if known else None
            if key is None:
                kinds = (False, True) if place in of_both else (mask,)
                expected = " and ".join(layout.file_of("X", mask=kind) for kind in kinds)
                raise InputError(
                    f"{place}: found {name}; expected only {expected} in it; take it out, or name "
                    "it under ignore in datasets.yaml"
                )
            for text in (key, name):
                require_no_formula(text, place)
            if (length := len(os.fsencode(key))) > LONGEST:
                raise InputError(
                    f"{place}: found an id of {length} bytes, {key[:40]!r}…; expected at most "
                    f"{LONGEST}, as files are named by it; rename it"
                )
            if key in members:
                raise InputError(_twice(key, members[key], Member(place, name)))
            members[key] = Member(place, name)
    return members


def _twice(key: str, first: Member, second: Member) -> str:
    """What is wrong with two members of one id."""
    one, other = first.name, second.name
    if one != other and _composed(one) == _composed(other):
        one, other = ascii(one), ascii(other)  # else the two would look the same
    where = one if first.place == second.place else f"{first.place}: {one}"
    way = "keep one of them"
    if inner_path(first.name).parent != inner_path(second.name).parent:
        way += ", or let folders_in_id in datasets.yaml tell them apart"
    return f"{second.place}: {key} occurs twice, as {where} and {other}; {way}"


def _lies_beside(file: PurePosixPath, layout: Layout) -> bool:
    """Whether a file among images is none, or is not meant."""
    superpixels = file.stem.endswith("_superpixels")  # ISIC 2017
    return superpixels or _is_text(file) or _is_ignored(file, layout)


def _is_note(file: PurePosixPath) -> bool:
    rights = file.stem.lower() in _RIGHTS or file.parent.name.lower() in _RIGHTS_FOLDERS
    return rights and _is_text(file)


def _is_text(file: PurePosixPath) -> bool:
    if file.suffix:
        return file.suffix.lower() in _TEXT_TYPES
    return file.name.lower() in _TEXTS_WITHOUT_TYPE


def _is_ignored(file: PurePosixPath, layout: Layout) -> bool:
    path = _composed(str(file))
    return any(fnmatchcase(path, _composed(pattern)) for pattern in layout.ignore)


def _is_of_the_system(file: PurePosixPath) -> bool:
    """Whether Windows or a Mac left a file there."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in file.parts)
    return hidden or file.name.lower() in _OF_THE_SYSTEM


def _is_folder(name: str) -> bool:
    return name.endswith(("/", "\\"))


def require_text(name: str, place: object) -> None:
    """Raises InputError for a name that tables and file names could not hold, or that a terminal
    would show as another."""
    kinds = {unicodedata.category(letter) for letter in name}
    if "Cs" in kinds:  # how Python holds the bytes of a file's name that are no UTF-8
        raise InputError(
            f"{place}: found {os.fsencode(name)!r}, a name that is no UTF-8; rename it "
            "(`convmv -r -f cp1252 -t utf-8 --notest FOLDER` does so for all names that Windows "
            "gave in Western Europe)"
        )
    if kinds & {"Zl", "Zp"} or any(unicodedata.bidirectional(letter) in _TURNS for letter in name):
        raise InputError(
            f"{place}: found {name!a}, a name with a letter that breaks the line or turns its "
            "order; rename it"
        )
    if "Cc" in kinds:
        raise InputError(f"{place}: found {name!r}, a name with a control character; rename it")


def require_no_formula(name: str, place: object) -> None:
    """Raises InputError for a name that a spreadsheet which opens the tables would work out."""
    if name.startswith(_FORMULA):
        raise InputError(
            f"{place}: found {name!r}, which a spreadsheet that opens the tables takes for a "
            f"formula; rename it so that it does not begin with {name[0]}"
        )


def _hint(without_mask: list[str], without_image: list[str]) -> str:
    """A remedy where names on the two sides may be the same in two encodings."""
    both = without_mask and without_image
    if not both or all(name.isascii() for name in (*without_mask, *without_image)):
        return ""
    return (
        f"; found {without_mask[0]} and {without_image[0]} alone: where those are one name in two "
        f"encodings, find the archive whose names look wrong and {_REPACK}"
    )


def _places(listings: Sequence[Listing]) -> str:
    return ", ".join(str(listing.place) for listing in listings)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _ends(stem: str, suffix: str) -> bool:
    suffix = _composed(suffix)
    return stem[len(stem) - len(suffix) :].lower() == suffix.lower()
