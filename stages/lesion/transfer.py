"""Downloading one large file by HTTP, going on where an earlier attempt stopped.

The file grows as `X.part`; beside it, `X.part.json` tells which version of the remote file it is a
part of, by size and ETag (or date). Only a part of the version that the server has now is gone on
with. https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

import itertools
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from lesion.errors import InputError
from lesion.files import write_json

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before each new attempt after one without gain
TIMEOUT = (15, 60)  # seconds to connect, and between two packets
CHUNK = 2**16  # bytes; what has come of one is lost when the connection is cut
PASSING = {408, 425, 429, 500, 502, 503, 504}  # states of a server that may be over soon


@dataclass(frozen=True)
class Version:
    """What tells one version of a remote file from another, as far as the server says."""

    url: str
    bytes: int | None
    etag: str | None
    modified: str | None

    def continues(self, earlier: "Version") -> bool:
        """Whether its bytes may go on where those of `earlier` stopped.

        Two servers of one file have ETags and dates of their own, so these count at one address
        only. Bytes that do not belong together after all are found when the file is verified.
        """
        if None not in (self.bytes, earlier.bytes) and self.bytes != earlier.bytes:
            return False
        same_version = (self.etag, self.modified) == (earlier.etag, earlier.modified)
        return self.url != earlier.url or same_version


class Stopped(Exception):
    """A download was told to stop; what there is of it is kept."""


class _Passing(Exception):
    """An attempt failed in a way that another one may not."""


class Part:
    """A file that is being downloaded, and what is known of the remote one."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")

    @property
    def bytes(self) -> int:
        """How many bytes are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> Version | None:
        """Which remote file they are of, or None where that is not known."""
        try:
            return Version(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def note(self, version: Version) -> None:
        """Keeps which remote file the bytes are of; to be called before the first is written."""
        write_json(self._note, asdict(version))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        """Gives the file its name."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)


def download(
    url: str,
    part: Part,
    size: int | None,
    *,
    gained: Callable[[int], object] = lambda count: None,
    stop: threading.Event | None = None,
    pauses: Sequence[float] = PAUSES,
) -> int:
    """Downloads one file completely into `part`, and returns the number of attempts it took.

    A cut connection, a silent server and a state such as 503 are tried again, with pauses that grow
    until an attempt gains something. `size` is the number of bytes expected, if that is known;
    `gained` is told of bytes as they come, and of those that were lost, as a negative number.

    Raises:
        InputError: the server does not give the file, or one of another size.
        Stopped: `stop` was set; that is looked at between two chunks.
        OSError: the bytes cannot be written.
    """
    stop = stop or threading.Event()
    in_vain, most = 0, part.bytes
    with requests.Session() as session:
        for attempts in itertools.count(1):
            try:
                _attempt(session, url, part, size, gained, stop)
                return attempts
            except (_Passing, requests.RequestException) as error:
                reason = str(error)
            # To come again to where it was once, after starting anew, is no gain.
            in_vain = 0 if part.bytes > most else in_vain + 1
            most = max(most, part.bytes)
            if in_vain > len(pauses):
                raise InputError(
                    f"{url}: could not be downloaded: {reason}; {part.bytes} bytes are kept, "
                    "run it again to go on from there"
                )
            pause = pauses[max(in_vain, 1) - 1] if pauses else 0
            tqdm.write(f"{url}: {reason}; trying again in {pause:.0f} s")
            if stop.wait(pause):
                raise Stopped(url)


def remote_size(urls: Sequence[str]) -> int | None:
    """The size in bytes of a remote file, or None where no server tells."""
    for url in urls:
        try:
            response = requests.head(
                url, headers={"Accept-Encoding": "identity"}, timeout=TIMEOUT, allow_redirects=True
            )
        except requests.RequestException:
            continue
        if response.ok and (size := _length(response)) is not None:
            return size
    return None


def _attempt(
    session: requests.Session,
    url: str,
    part: Part,
    size: int | None,
    gained: Callable[[int], object],
    stop: threading.Event,
) -> None:
    """One request, from the first byte that `part` lacks; returns when the file is whole."""
    there, known = part.bytes, part.version
    if there and known is None:
        gained(-there)
        part.remove()
        there = 0
    if there and there == (size or known.bytes):
        return
    headers = {"Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        start, version = _described(response, url)
        if size is not None and version.bytes not in (None, size):
            raise InputError(f"{url}: found {version.bytes} bytes; expected {size}")
        if start != there or (there and not version.continues(known)):
            gained(-there)
            part.remove()
            if response.status_code != 200:
                raise _Passing("the file has changed on the server")
        part.note(version)
        _receive(response, part, gained, stop)
    whole = size or version.bytes
    if whole is not None and part.bytes != whole:
        raise _Passing(f"the connection ended at {part.bytes} of {whole} bytes")


def _described(response: requests.Response, url: str) -> tuple[int | None, Version]:
    """The position of an answer's first byte, and which version of the file it is of.

    There is no such byte, but None, where the file is shorter than the part.
    """
    state, headers = response.status_code, response.headers
    answer = f"the server answers {state} {response.reason}"
    if state in PASSING:
        raise _Passing(answer)
    if not response.ok and state != 416:
        raise InputError(f"{url}: {answer}")
    if "html" in headers.get("Content-Type", "") and state != 416:
        raise InputError(f"{url}: found a web page; expected a zip archive")
    start, total = 0, _length(response)
    if state in (206, 416):
        content_range = headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", content_range)
        if not match and state == 206:
            raise _Passing(f"{answer} with range {content_range!r}")
        start = int(match[1]) if match and match[1] else None
        total = int(match[2]) if match and match[2] != "*" else None
    return start, Version(url, total, headers.get("ETag"), headers.get("Last-Modified"))


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _receive(
    response: requests.Response,
    part: Part,
    gained: Callable[[int], object],
    stop: threading.Event,
) -> None:
    """Appends the answer's body to `part`."""
    with part.path.open("ab") as file:
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            file.flush()  # or a kill would lose it
            gained(len(chunk))
            if stop.is_set():
                raise Stopped(response.url)
