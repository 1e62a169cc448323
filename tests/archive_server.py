"""A server of files over HTTP/1.1 that can be told to fail in the ways that servers do.

It answers ranges as RFC 9110 has it, counts the bytes that it sends, and serves as a proxy too.
"""

import base64
import hashlib
import json
import re
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from lesion.fetching.datasets import Archive, Dataset, SplitSources

PIECE = 2**14  # bytes sent at a time


@dataclass(frozen=True)
class File:
    content: bytes
    etag: str | None
    modified: str | None


@dataclass(frozen=True)
class Fault:
    """What is wrong with one answer; where all is None or False, nothing is."""

    status: int | None = None  # with a line of HTML
    cut: int | None = None  # closes the connection after so many bytes of the body
    ignore_range: bool = False  # 200 and the whole file
    content_range: str | None = None  # in place of the right one
    length: str | None = None  # the Content-Length in place of the right one; "": none
    change: Callable[[bytes], bytes] | None = None  # what becomes of the body
    reason: str | None = None  # in words, in place of the usual one
    type: str = "application/zip"
    headers: Mapping[str, str] = field(default_factory=dict)  # besides the right ones
    endless: bool = False  # after the body zeros in chunks, until the client has gone
    before: Callable[[], object] = lambda: None  # called before the answer
    gate: Callable[[int], object] = lambda sent: None  # called with the bytes sent, at each piece


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    proxied: bool
    login: str | None  # "user:password"


class Server:
    """`files` by path, `requests` in order, `sent`: how many bytes of files, by path."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.requests: list[Request] = []
        self.sent: Counter[str] = Counter()
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            server_of_files = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def put(self, path: str, content: bytes, *, described: bool = True) -> None:
        """Serves `content`; undescribed, without ETag and Last-Modified."""
        if described:
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            self.files[path] = File(content, etag, formatdate(1_500_000_000, usegmt=True))
        else:
            self.files[path] = File(content, None, None)

    def fail(self, path: str, *faults: Fault) -> None:
        """The next GETs of `path` fail like this, one each; those after them do not."""
        self._faults[path].extend(faults)

    def fail_always(self, path: str, fault: Fault) -> None:
        self._always[path] = fault

    def mend(self) -> None:
        self._faults.clear()
        self._always.clear()

    def gets(self, path: str | None = None) -> list[Request]:
        """The GETs so far, of one path or of all."""
        return [
            request
            for request in self.requests
            if request.method == "GET" and path in (None, request.path)
        ]

    def sent_twice(self, path: str) -> int:
        """Bytes sent of a file that was received whole, beyond its size."""
        return self.sent[path] - len(self.files[path].content)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _take(self, request: Request) -> Fault:
        with self._lock:
            self.requests.append(request)
            if request.method == "GET" and self._faults[request.path]:
                return self._faults[request.path].popleft()
            return self._always.get(request.path, Fault())

    def _count(self, path: str, count: int) -> None:
        with self._lock:
            self.sent[path] += count


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each small answer would wait 40 ms
    server_of_files: Server

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was killed, or refused the answer
            super().handle()

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        address = urlsplit(self.path)
        path = address.path.lstrip("/")
        login = self.headers.get("Authorization", "").removeprefix("Basic ")
        request = Request(
            self.command,
            path,
            self.headers.get("Range"),
            bool(address.netloc),
            base64.b64decode(login).decode() or None,
        )
        fault = self.server_of_files._take(request)
        fault.before()
        file = self.server_of_files.files.get(path)
        if fault.status or file is None:
            status = fault.status or 404
            return self._send(path, status, b"<p>Sorry</p>", replace(fault, type="text/html"))
        headers = {"Accept-Ranges": "bytes"}
        if file.etag:
            headers["ETag"] = file.etag
        if file.modified:
            headers["Last-Modified"] = file.modified
        whole = len(file.content)
        if not request.range or fault.ignore_range:
            return self._send(path, 200, file.content, fault, headers)
        first, last = _span(request.range, whole)
        if first >= whole:
            return self._send(
                path, 416, b"", Fault(type=""), headers | {"Content-Range": f"bytes */{whole}"}
            )
        right = f"bytes {first}-{last}/{whole}"
        range_said = right if fault.content_range is None else fault.content_range
        self._send(
            path,
            206,
            file.content[first : last + 1],
            fault,
            headers | {"Content-Range": range_said},
        )

    def _send(
        self,
        path: str,
        status: int,
        body: bytes,
        fault: Fault,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        body = fault.change(body) if fault.change else body
        length = str(len(body)) if fault.length is None else fault.length
        length = "" if fault.endless else length
        self.send_response(status, fault.reason)
        for name, value in {**headers, **fault.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", fault.type)
        if length:
            self.send_header("Content-Length", length)
        if fault.endless:
            self.send_header("Transfer-Encoding", "chunked")
        if length != str(len(body)) or fault.cut is not None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        body = body[: fault.cut]
        with suppress(OSError):  # the client has gone
            while fault.endless:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
                body = bytes(PIECE)
            for start in range(0, len(body), PIECE):
                fault.gate(start)
                if status in (200, 206):
                    self.server_of_files._count(path, len(body[start : start + PIECE]))
                self.wfile.write(body[start : start + PIECE])
            fault.gate(len(body))

    def log_message(self, *_: object) -> None:
        pass


def _span(text: str, whole: int) -> tuple[int, int]:
    """First and last position that a Range header asks for."""
    first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", text).groups()
    if not first:
        return max(0, whole - int(last)), whole - 1
    return int(first), min(int(last), whole - 1) if last else whole - 1


def described(server: Server, *paths: str, **fields: object) -> Dataset:
    """A data set of files of the server: images and masks of each split in turn."""
    archives = [
        Archive(
            archive=path,
            bytes=len(server.files[path].content),
            sha256=hashlib.sha256(server.files[path].content).hexdigest(),
        )
        for path in paths
    ]
    pairs = zip(archives[::2], archives[1::2], strict=True)
    splits = {
        split: SplitSources(images=images, masks=masks)
        for split, (images, masks) in zip(("train", "validation", "test"), pairs, strict=False)
    }
    about = {"title": "Made up", "licence": "CC0-1.0", "base_url": server.url}
    return Dataset(**{**about, **splits, **fields})


def write_registry(folder: Path, **datasets: Dataset) -> None:
    """datasets.yaml with these entries; JSON is YAML."""
    entries = {
        name: dataset.model_dump(mode="json", exclude_none=True)
        for name, dataset in datasets.items()
    }
    (folder / "datasets.yaml").write_text(json.dumps(entries))


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()
