"""Single members of a zip archive on a server, by ranged reads, without downloading the archive.

What was read is kept in a folder, so that it is read once, also by a run that was killed, and more
can be added to it later.
"""

import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import requests
from remotezip import PartialBuffer, RangeNotSupported, RemoteFetcher, RemoteZip, RemoteZipError
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from lesion.console.shown import one_line
from lesion.fetching.transfer import PASSING, PAUSES, PLAIN, TIMEOUT, Stopped, packing, web_session
from lesion.photos.archives import member_name, unpacked
from lesion.photos.names import inner_path, wrong_encoding
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_bytes
from lesion.pipeline.redaction import without_logins

# Bytes read first from an archive's end, where its directory's place stands; remotezip's own 64 KB
# are more than the whole directory of a small archive.
END = 4096
MOST_DIRECTORY = 64 * 2**20  # bytes; of half a million images, it has 50 MB
LONGEST = 300  # characters of a server's reason that are shown
# What a cut connection or a server's error becomes, depending on where in a zip file it strikes.
_FAILURES = (
    RemoteZipError,
    HTTPError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
)
_Result = TypeVar("_Result")


class RemoteMembers:
    """The members of a zip archive at the first of `urls` that gives it.

    Those that were fetched are kept in the folder `kept`. `size` is the archive's number of bytes,
    if that is known. `stop`, when set, ends attempts to read from a server that fails.

    Raises:
        InputError: no server gives it, or not in ranges, or it has another size.
    """

    def __init__(
        self,
        urls: Sequence[str],
        kept: Path,
        size: int | None = None,
        pauses: Sequence[float] = PAUSES,
        stop: threading.Event | None = None,
    ) -> None:
        self._kept, self._pauses, self._stop = kept, pauses, stop or threading.Event()
        self._session = web_session()
        self._session.hooks["response"].append(_require_plain)
        self._archive: RemoteZip | None = None
        reasons = []
        for url in urls:
            self._url, self.place, self._archive = url, without_logins(url), None
            try:
                self._members, found = self._attempt(_directory)
            except InputError as error:
                reasons.append(str(error))
                continue
            if size in (None, found):
                return
            reasons.append(f"{self.place}: found {found} bytes; expected {size}")
        raise InputError("; ".join(reasons))

    def names(self) -> list[str]:
        return [member_name(member) for member in self._members]

    def lacking(self, names: Iterable[str]) -> list[zipfile.ZipInfo]:
        """Those of some members that are not kept yet, or damaged."""
        wanted = set(names)
        return [
            member
            for member in self._members
            if member_name(member) in wanted and not self._is_kept(member)
        ]

    def fetch(
        self, members: Iterable[zipfile.ZipInfo], gained: Callable[[int], object] = lambda _: None
    ) -> None:
        """Reads some members and keeps them; `gained` is told the packed bytes of each.

        Raises:
            InputError: a member cannot be read, or is far too large.
            Stopped: `stop` was set; that is looked at between two members.
            OSError: a member cannot be written.
        """
        for member in members:
            if self._stop.is_set():
                raise Stopped(self.place)
            content = self._attempt(partial(unpacked, name=member.filename))
            if zlib.crc32(content) != member.CRC:
                raise InputError(
                    f"{self.place}: {member.filename} is another one than at the start; the "
                    "archive has changed on the server, run it again"
                )
            write_bytes(self._path(member_name(member)), content)
            gained(member.compress_size)

    def read(self, name: str) -> bytes:
        """The content of a member that was fetched."""
        return self._path(name).read_bytes()

    def _path(self, name: str) -> Path:
        return self._kept / inner_path(name)  # two folders may have files of one name

    def _is_kept(self, member: zipfile.ZipInfo) -> bool:
        path = self._path(member_name(member))
        if not path.exists() or path.stat().st_size != member.file_size:
            return False
        return zlib.crc32(path.read_bytes()) == member.CRC

    def _attempt(self, action: Callable[[RemoteZip], _Result]) -> _Result:
        """What `action` returns of the archive; tried again after a cut connection or a 503.

        Each new attempt opens the archive anew, since remotezip cannot be used after a failure.
        """
        for pause in (*self._pauses, None):
            try:
                if self._archive is None:
                    self._archive = self._open()
                return action(self._archive)
            except RangeNotSupported:
                reason = "the server gives whole files only; set limit: 0 to download this one"
                break
            except UnicodeDecodeError as error:
                reason = wrong_encoding(error)
                break
            except _FAILURES as error:
                self._archive, reason = None, without_logins(str(error))[:LONGEST]
                state = re.match(r"(\d{3}) (Client|Server) Error", reason)
                if pause is None or (state and int(state[1]) not in PASSING):
                    break
            except (_Refused, RuntimeError, KeyError) as error:
                reason = str(error)  # encrypted, or packed in a way that zipfile lacks, or gone
                break
            tqdm.write(one_line(f"{self.place}: {reason}; trying again in {pause:.0f} s"))
            if self._stop.wait(pause):
                raise Stopped(self.place)
        raise InputError(f"{self.place}: could not be read in parts: {reason}")

    def _open(self) -> RemoteZip:
        return RemoteZip(
            self._url,
            initial_buffer_size=END,
            session=self._session,
            fetcher=_Fetcher,
            timeout=TIMEOUT,
            headers=PLAIN,
        )


def _directory(archive: RemoteZip) -> tuple[list[zipfile.ZipInfo], int]:
    """What lies in an archive, and its number of bytes."""
    return archive.infolist(), archive.size()


class _Fetcher(RemoteFetcher):
    """Takes no more than was asked for: remotezip takes all that a server says it sends."""

    def fetch(self, data_range: tuple[int, int | None], stream: bool = False) -> PartialBuffer:
        first, last = data_range
        asked = -first if last is None else last - first + 1
        if not stream and asked > MOST_DIRECTORY:
            raise _Refused(f"its directory has {asked} bytes; expected at most {MOST_DIRECTORY}")
        part = super().fetch(data_range, stream=True)
        if len(part) > asked or (last is not None and part.tell() != first):
            part.close()
            raise RemoteZipError(
                f"sends {len(part)} bytes from {part.tell()} on; asked for {asked} from {first} on"
            )
        return part if stream else PartialBuffer(part.buffer, part.tell(), len(part), stream=False)


class _Refused(Exception):
    """What the server has is not taken, now or later."""


def _require_plain(response: requests.Response, **_: object) -> None:
    if packed := packing(response):
        response.close()
        raise _Refused(f"sends the archive packed ({packed}); expected it as it is")
