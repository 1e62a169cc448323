"""datasets.yaml: where each data set lies, and what is known of its files."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from lesion.fetching.groups import Groups
from lesion.photos.names import MASK_SUFFIX, Layout
from lesion.pipeline.errors import InputError
from lesion.pipeline.settings import read_settings

DATASETS_FILE = Path("datasets.yaml")
SplitName = Literal["train", "validation", "test"]
Count = Annotated[int, Field(ge=1, le=10**15)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Archive(_Entry):
    """A zip file by its name, and what is known of it; what is unknown is left out, not guessed.

    `files` is the number of images or masks in it, `bytes` its size, the hashes are hexadecimal.
    """

    archive: Annotated[str, Field(pattern=r"^\w[\w.-]*\.zip$")]
    files: Count | None = None
    bytes: Count | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None

    @property
    def hash(self) -> tuple[str, str] | None:
        """Name and digest of the strongest hash that is known."""
        if self.sha256:
            return "sha256", self.sha256
        return ("md5", self.md5) if self.md5 else None


class Folder(_Entry):
    """A folder with images or masks, in it or below it; its path begins in the folder `data` of
    params.yaml, which DVC watches, and stays there."""

    folder: Annotated[str, Field(min_length=1)]

    @field_validator("folder")
    @classmethod
    def _stays_inside(cls, folder: str) -> str:
        path = PurePosixPath(folder)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "expected a folder inside the one that the parameter data names, which DVC watches"
            )
        return folder


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, Folder) or (isinstance(value, dict) and "folder" in value):
        return "folder"
    return "archive"


Source = Annotated[
    Annotated[Archive, Tag("archive")] | Annotated[Folder, Tag("folder")], Discriminator(_kind)
]
# One, or a list of them that lies in several; read as a tuple in either case.
if TYPE_CHECKING:
    Sources = tuple[Archive | Folder, ...]
else:
    Sources = Annotated[
        Annotated[Archive, Tag("archive")]
        | Annotated[Folder, Tag("folder")]
        | Annotated[tuple[Source, ...], Field(min_length=1), Tag("list")],
        Discriminator(_kind),
        AfterValidator(lambda value: value if isinstance(value, tuple) else (value,)),
    ]


class SplitSources(_Entry):
    """Where the images and the masks lie; one place may hold both."""

    images: Sources
    masks: Sources


class Dataset(_Entry):
    """A data set: what it is called, who made it, and its splits.

    `base_url` is the address that the archives' names are appended to, `mirrors` are others that
    hold the same files; `obtain` says how to come by what cannot be downloaded. How files are named
    is told by `image_suffix`, `mask_suffix`, `ignore` and `folders_in_id` (`names.Layout`). Where
    masks have more than two values, `lesion_values` are those that mean lesion. `groups` tells
    which images are of one patient or lesion, `overlaps` which it shares with other data sets.
    With `links`, files in its folders may be links to files elsewhere.
    """

    title: str
    licence: str
    cite: list[str] = []
    overlaps: list[str] = []
    base_url: HttpUrl | None = None
    mirrors: list[HttpUrl] = []
    obtain: str | None = None
    image_suffix: str = ""
    mask_suffix: str = MASK_SUFFIX
    ignore: list[str] = []
    folders_in_id: Annotated[int, Field(ge=0, le=100)] = 0
    links: bool = False
    lesion_values: list[Annotated[int, Field(ge=0, le=65535)]] = []
    groups: Groups | None = None
    train: SplitSources
    validation: SplitSources | None = None
    test: SplitSources | None = None

    @property
    def splits(self) -> dict[str, SplitSources]:
        """The splits that there are, in order."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split}

    @property
    def layout(self) -> Layout:
        """How its files are named."""
        return Layout(self.image_suffix, self.mask_suffix, tuple(self.ignore), self.folders_in_id)

    @property
    def sources(self) -> list[Archive | Folder]:
        """Every archive and folder, in order, each once."""
        splits = self.splits.values()
        return list(dict.fromkeys(s for split in splits for s in (*split.images, *split.masks)))

    @property
    def archives(self) -> list[Archive]:
        """Every archive, in order, each once."""
        return [source for source in self.sources if isinstance(source, Archive)]

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs a split has, for those where that is known."""
        found = {}
        for name, split in self.splits.items():
            known = [s.files for s in split.images if isinstance(s, Archive) and s.files]
            if len(known) == len(split.images):
                found[name] = sum(known)
        return found

    @model_validator(mode="after")
    def _masks_can_be_told_from_images(self) -> "Dataset":
        for name, split in self.splits.items():
            shared = set(split.images) & set(split.masks)
            if shared and self.image_suffix.lower() == self.mask_suffix.lower():
                raise ValueError(
                    f"images and masks of {name} lie in one place; image_suffix and mask_suffix "
                    "must tell them apart"
                )
        return self


def load_datasets(path: Path = DATASETS_FILE) -> dict[str, Dataset]:
    """The data sets by name.

    Raises:
        InputError: the file is missing, no YAML, an entry is not as described above, or two
            archives have one name.
    """
    try:
        entries = read_settings(path, "a mapping of data sets")
        datasets = TypeAdapter(dict[str, Dataset]).validate_python(entries)
    except ValidationError as error:
        first = error.errors()[0]
        tags = (3, 5) if first["loc"][3:4] == ("list",) else (3,)  # what pydantic adds to a source
        loc = [part for i, part in enumerate(first["loc"]) if i not in tags]
        place = ".".join(map(str, loc))
        raise InputError(f"{path}: {place}: found {first['input']!r}; {first['msg']}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    seen: dict[str, Archive] = {}
    for name, dataset in datasets.items():
        for archive in dataset.archives:
            if seen.setdefault(archive.archive, archive) != archive:
                raise InputError(
                    f"{path}: {name}: {archive.archive} is described twice, and differently; all "
                    "archives lie in downloads/, so that two need two names"
                )
    return datasets
