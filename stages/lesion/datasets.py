"""datasets.yaml: where each data set lies, and what is known of its files."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lesion.errors import InputError

DATASETS_FILE = Path("datasets.yaml")
SplitName = Literal["train", "validation", "test"]
Count = Annotated[int, Field(ge=1)]


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
    """A folder with images or masks, in it or below it; relative to the project's root."""

    folder: Annotated[str, Field(min_length=1)]


def _kind(value: Any) -> str:
    if isinstance(value, Folder) or (isinstance(value, dict) and "folder" in value):
        return "folder"
    return "archive"


Source = Annotated[
    Annotated[Archive, Tag("archive")] | Annotated[Folder, Tag("folder")], Discriminator(_kind)
]


class Split(_Entry):
    images: Source
    masks: Source


class Dataset(_Entry):
    """A data set: what it is called, who made it, and its splits.

    `base_url` is the address that the archives' names are appended to, `mirrors` are others that
    hold the same files. A mask is named like its image with `mask_suffix` before the file's type.
    `overlaps` says which images it shares with other data sets. Where masks have more than two
    values, `lesion_values` are those that mean lesion.
    """

    title: str
    licence: str
    cite: list[str] = []
    overlaps: list[str] = []
    base_url: HttpUrl | None = None
    mirrors: list[HttpUrl] = []
    mask_suffix: str = "_segmentation"
    lesion_values: list[Annotated[int, Field(ge=0, le=65535)]] = []
    train: Split
    validation: Split | None = None
    test: Split | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, in order."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split}

    @property
    def archives(self) -> list[Archive]:
        """Every archive, in order, each once."""
        sources = [
            source for split in self.splits.values() for source in (split.images, split.masks)
        ]
        return list(dict.fromkeys(source for source in sources if isinstance(source, Archive)))

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs a split has, for those where that is known."""
        return {
            name: split.images.files
            for name, split in self.splits.items()
            if isinstance(split.images, Archive) and split.images.files
        }

    @model_validator(mode="after")
    def _masks_can_be_told_from_images(self) -> "Dataset":
        for name, split in self.splits.items():
            if split.images == split.masks and not self.mask_suffix:
                raise ValueError(
                    f"images and masks of {name} lie in one place; mask_suffix must tell them apart"
                )
        return self


def load_datasets(path: Path = DATASETS_FILE) -> dict[str, Dataset]:
    """The data sets by name.

    Raises:
        InputError: the file is missing, no YAML, an entry is not as described above, or two
            archives have one name.
    """
    try:
        entries = YAML(typ="safe").load(path)
        datasets = TypeAdapter(dict[str, Dataset]).validate_python(entries)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected in the project's root") from None
    except (YAMLError, AttributeError) as error:
        raise InputError(f"{path}: not a mapping of data sets: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        loc = first["loc"][:3] + first["loc"][4:]  # without the tag of a source
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
