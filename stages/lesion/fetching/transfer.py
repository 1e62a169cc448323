"""Downloading one large file by HTTP, going on where an earlier attempt stopped.

The file grows as `X.part`; beside it, `X.part.json` tells which version of the remote file it is a
part of, by size and ETag (or date). Only a part of the version that the server has now is gone on
with. https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

import io
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from lesion.console.shown import one_line
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_json
from lesion.pipeline.redaction import without_logins

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before each new attempt after one without gain
TIMEOUT = (15, 60)  # seconds to connect, and between two packets
CHUNK = 2**16  # bytes received at a time
DIGITS = 18  # of a size that a server may tell
# What a request may end with; a ValueError where a server points to what is no address.
_FAILURES = (requests.RequestException, HTTPError, ValueError)
PLAIN = {"Accept-Encoding": "identity"}
PASSING = {408, 425, 429, 500, 502, 503, 504}  # states of a server that may be over soon


@dataclass(frozen=True)
class Version:
    """What tells one version of a remote file from another, as far as the server says.

    It is kept on the disk: `url` is an address without a login.
    """

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
        except (OSError, ValueError, TypeError, RecursionError):
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
    place = without_logins(url)
    attempts, in_vain, most = 0, 0, part.bytes
    with web_session() as session:
        while True:
            attempts += 1
            try:
                _attempt(session, url, part, size, gained, stop)
                return attempts
            except (_Passing, *_FAILURES) as error:
                reason = without_logins(str(error))
            # To come again to where it was once, after starting anew, is no gain.
            in_vain = 0 if part.bytes > most else in_vain + 1
            most = max(most, part.bytes)
            if in_vain > len(pauses):
                raise InputError(
                    f"{place}: could not be downloaded: {reason}; {part.bytes} bytes are kept, "
                    "run it again to go on from there"
                )
            pause = pauses[max(in_vain, 1) - 1] if pauses else 0
            tqdm.write(one_line(f"{place}: {reason}; trying again in {pause:.0f} s"))
            if stop.wait(pause):
                raise Stopped(place)


def remote_size(urls: Sequence[str]) -> int | None:
    """The size in bytes of a remote file, or None where no server tells."""
    with web_session() as session:
        for url in urls:
            try:
                response = session.head(url, headers=PLAIN, timeout=TIMEOUT, allow_redirects=True)
            except _FAILURES:
                continue
            if response.ok and not packing(response) and (size := _length(response)) is not None:
                return size
    return None


def web_session() -> requests.Session:
    """A session that follows a server's pointer to another address without reading what else it
    sends, which `requests` would take into memory whole, be it without end."""
    session = requests.Session()
    session.hooks["response"].append(_without_body)
    return session


def packing(response: requests.Response) -> str:
    """How a body is packed on its way, though it was asked for as it is; empty where it is not."""
    packed = response.headers.get("Content-Encoding", "").strip()
    return "" if packed.lower() == "identity" else packed


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

    def drop() -> None:
        gained(-part.bytes)
        part.remove()

    if there and (known is None or (size and there > size)):
        drop()
        there = 0
    if there and known and there == (size or known.bytes):
        return
    headers = PLAIN | ({"Range": f"bytes={there}-"} if there else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        start, version = _described(response, without_logins(url))
        if size is not None and version.bytes not in (None, size):
            raise InputError(f"{version.url}: found {version.bytes} bytes; expected {size}")
        if start != there or (there and not (known and version.continues(known))):
            drop()
            there = 0
            if response.status_code != 200:
                raise _Passing("the file has changed on the server")
        part.note(version)
        whole = size or version.bytes
        _receive(response, part, whole, gained, stop)
    if whole is None or part.bytes == whole:
        return
    if part.bytes < whole:
        raise _Passing(f"the connection ended at {part.bytes} of {whole} bytes")
    drop()
    reason = f"sends more than the {whole} bytes that were expected"
    if there:  # which may have been of another version
        raise _Passing(reason)
    raise InputError(f"{version.url}: {reason}")


def _described(response: requests.Response, place: str) -> tuple[int | None, Version]:
    """The position of an answer's first byte, and which version of the file at `place` it is of.

    There is no such byte, but None, where the file is shorter than the part.
    """
    state, headers = response.status_code, response.headers
    answer = f"the server answers {state} {response.reason}"
    if state in PASSING:
        raise _Passing(answer)
    if not response.ok and state != 416:
        raise InputError(f"{place}: {answer}")
    if packed := packing(response):
        raise InputError(f"{place}: sends the archive packed ({packed}); expected it as it is")
    if "html" in headers.get("Content-Type", "") and state != 416:
        raise InputError(f"{place}: found a web page; expected a zip archive")
    start: int | None = 0
    total = _length(response)
    if state in (206, 416):
        content_range = headers.get("Content-Range", "")
        number = f"[0-9]{{1,{DIGITS}}}"
        match = re.fullmatch(rf"bytes (?:({number})-{number}|\*)/({number}|\*)", content_range)
        if not match and state == 206:
            raise _Passing(f"{answer} with range {content_range!r}")
        start = int(match[1]) if match and match[1] else None
        total = int(match[2]) if match and match[2] != "*" else None
    return start, Version(place, total, headers.get("ETag"), headers.get("Last-Modified"))


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(f"[0-9]{{1,{DIGITS}}}", length) else None


def _receive(
    response: requests.Response,
    part: Part,
    whole: int | None,
    gained: Callable[[int], object],
    stop: threading.Event,
) -> None:
    """Appends the answer's body to `part`, but no more than a byte beyond `whole`."""
    with part.path.open("ab") as file:
        while (left := CHUNK if whole is None else whole + 1 - file.tell()) > 0:
            chunk = response.raw.read(min(CHUNK, left), decode_content=False)
            if not chunk:
                return
            file.write(chunk)
            file.flush()  # or a kill would lose it
            gained(len(chunk))
            if stop.is_set():
                raise Stopped(part.path)


def _without_body(response: requests.Response, **_: object) -> None:
    if response.is_redirect:
        response.raw.close()
        response.raw = io.BytesIO()
