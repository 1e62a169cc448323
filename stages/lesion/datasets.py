"""datasets.yaml: where the public data sets lie, and how to fetch and verify their archives."""

from pathlib import Path
from typing import Annotated

import pooch
import requests
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lesion.errors import InputError

DATASETS_FILE = Path("datasets.yaml")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Archive(_Entry):
    """One zip file: name, number of images or masks, size in bytes, SHA-256 in hexadecimal."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+\.zip$")]
    images: Annotated[int, Field(ge=1)]
    bytes: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Dataset(_Entry):
    """A public data set; `base_url` is the address that the archives' names are appended to."""

    title: str
    licence: str
    cite: list[str]
    base_url: HttpUrl
    archives: Annotated[list[Archive], Field(min_length=2)]


def load_datasets(path: Path = DATASETS_FILE) -> dict[str, Dataset]:
    """The data sets by name.

    Raises:
        InputError: the file is missing, no YAML, or an entry is not as described above.
    """
    try:
        entries = YAML(typ="safe").load(path)
        return TypeAdapter(dict[str, Dataset]).validate_python(entries)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected in the project's root") from None
    except (YAMLError, AttributeError) as error:
        raise InputError(f"{path}: not a mapping of data sets: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place}: found {first['input']!r}; {first['msg']}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def fetch(dataset: Dataset, folder: Path) -> list[Path]:
    """Downloads what `folder` lacks of the archives and verifies all, by size and SHA-256.

    An archive gets its name only when it is whole, so an interrupted download leaves none that
    could be mistaken for it.

    Raises:
        InputError: the server does not give a file, or gives another one than expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _fetch(archive, f"{dataset.base_url}".rstrip("/"), folder) for archive in dataset.archives
    ]


def _fetch(archive: Archive, base_url: str, folder: Path) -> Path:
    url, path = f"{base_url}/{archive.name}", folder / archive.name
    if path.exists() and path.stat().st_size != archive.bytes:
        raise InputError(
            f"{path}: found {path.stat().st_size} bytes; expected {archive.bytes}; "
            "remove it to download it again"
        )
    try:
        pooch.retrieve(url, f"sha256:{archive.sha256}", archive.name, folder, progressbar=True)
    except ValueError as error:
        raise InputError(f"{url}: not the file that datasets.yaml describes: {error}") from None
    except requests.RequestException as error:
        raise InputError(
            f"{url}: could not be downloaded: {error}; try again, or put the file into {folder}/"
        ) from None
    return path
