"""The address of MLflow's store: where it leads, and what of it may be shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from urllib.request import url2pathname

from lesion.pipeline.errors import InputError
from lesion.pipeline.redaction import without_logins
from lesion.pipeline.root import project_root

STORE = "mlflow.db"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
NO_FOLDERS = ("databricks", "databricks-uc", "uc")  # addresses of MLflow without a colon

ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
SHORTEST_SECRET = 4  # characters; what is shorter is a part of many a word
LONGEST = 1000  # characters of an error that are shown

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///(?:file:)?)([^?]*)(.*)", re.DOTALL)


def tracking_address() -> str:
    """What MLFLOW_TRACKING_URI says, or SQLite in the project's root.

    A path in it counts from the project's root, also where DVC runs a stage in a copy that it
    throws away afterwards.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{STORE}"
    if (file := sqlite_file(address)) and (found := _SQLITE.fullmatch(address)):
        before, _, query = found.groups()
        return f"{_driven(before, file)}{_escaped(file)}{query}"
    if is_folder(address):
        path = url2pathname(re.sub("^file:(//)?", "", address))
        return str(project_root().resolve() / path)
    return address


def sqlite_address(file: Path) -> str:
    return f"{_driven('sqlite:///', file)}{_escaped(file)}"


def sqlite_file(address: str) -> Path | None:
    """The file of a SQLite store; None where it is of another kind, or in memory."""
    found = _SQLITE.fullmatch(address)
    if not found or found[2] in ("", ":memory:"):
        return None
    file = project_root() / unquote(found[2])
    return file.parent.resolve() / file.name


def is_folder(address: str) -> bool:
    """Whether MLflow would keep its runs as files in a folder of this name."""
    return scheme(address) == "file" or (not scheme(address) and address not in NO_FOLDERS)


def scheme(address: str) -> str:
    """sqlite, postgresql, http, file, ...; empty where the address has no scheme."""
    found = re.match(r"([a-z][a-z\d-]*)(\+[^:/]*)?:", address, re.IGNORECASE)
    return found[1].lower() if found else ""


def _escaped(file: Path) -> str:
    # A folder's name may hold what means something else in an address.
    return str(file).replace("%", "%25").replace("?", "%3F")


def _driven(before: str, file: Path) -> str:
    """The begin of an address of SQLite, with the driver's name where the path is not plain.

    Of an address without it MLflow makes the folder, and takes what is escaped for its name.
    """
    if before == "sqlite:///" and _escaped(file) == str(file):
        return before
    return re.sub("^sqlite:", "sqlite+pysqlite:", before)


def redacted(text: str) -> str:
    """The text without what opens a store: in the addresses in it who logs in, and what is asked.

    And without the secrets that the environment has, or a part of one, wherever they are quoted.
    """
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return without_logins(text)


def in_words(error: BaseException) -> str:
    """What an error says, redacted, in one line; of a long one, the first sentences."""
    # Our own were written without secrets, and a secret may be a word like others.
    text = str(error) if isinstance(error, InputError) else redacted(str(error))
    text = " ".join(text.split()) or type(error).__name__
    if len(text) <= LONGEST:
        return text
    shown = text[:LONGEST]
    end = shown.rfind(". ") + 1 or shown.rfind(" ")
    return f"{shown[:end].rstrip()} …"


def _secrets() -> Iterator[str]:
    for name in SECRETS:
        yield os.environ.get(name, "").strip()
    for name in ADDRESSES:
        _, _, rest = os.environ.get(name, "").partition("://")
        password = rest.rpartition("@")[0].partition(":")[2]
        # One that is not escaped as it should be is taken apart by whoever reads the address.
        parts = [password, *re.split("[/?#@:]", password)]
        for part in parts + re.findall("[?&][^=&]*=([^&#]*)", rest):
            yield from (part, unquote(part))
