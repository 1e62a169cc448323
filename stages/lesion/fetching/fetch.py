"""The archives of a data set of datasets.yaml: found or downloaded, and verified.

What was downloaded stays in the download folder, which DVC knows nothing of, so that it is never
downloaded again. `verified.json` there remembers size, time and hash of what was verified.
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from lesion.console.progress import Progress
from lesion.fetching.datasets import Archive, Dataset
from lesion.fetching.transfer import PAUSES, Part, download, remote_size
from lesion.photos.archives import damage, require_file
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_json
from lesion.pipeline.redaction import without_logins
from lesion.pipeline.root import downloads_folder

MIRROR = "LESION_MIRROR"  # environment variable: an address in place of those in datasets.yaml
VERIFIED = "verified.json"
AT_ONCE = 4  # downloads
SPARE = 200 * 10**6  # bytes to leave free on the disk
_Result = TypeVar("_Result")


def addresses(dataset: Dataset, name: str) -> list[str]:
    """The addresses to try in turn for an archive.

    Raises:
        InputError: there is none.
    """
    if mirror := os.environ.get(MIRROR, "").strip():
        _require_address(mirror)
        bases = [mirror]
    else:
        bases = [str(base) for base in (dataset.base_url, *dataset.mirrors) if base]
    if not bases:
        obtain = (
            dataset.obtain or "datasets.yaml gives no base_url to download it from; put it there"
        )
        raise InputError(f"{downloads_folder() / name}: not found; {obtain}")
    parts = map(urlsplit, bases)
    return [part._replace(path=f"{part.path.rstrip('/')}/{name}").geturl() for part in parts]


def _require_address(mirror: str) -> None:
    try:
        parts = urlsplit(mirror)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:  # and what there is may hold a password that has no form
        raise InputError(
            f"{MIRROR}: found another thing than an address; expected one such as "
            "https://mirror.example/isic/ (in a password, %23 for #, %2F for / and %3F for ?)"
        )


def find(dataset: Dataset, folder: Path, data: Path) -> dict[str, Path]:
    """Where the archives lie that are here already, by name, verified: in the download `folder`, or
    put by hand into it or into `data`.

    Raises:
        InputError: one is not what datasets.yaml describes, or may change without anybody noticing.
    """
    found = {item: path for item in dataset.archives if (path := _locate(item, folder, data))}
    verified = Verified(folder / VERIFIED)
    for item, path in found.items():
        if not item.hash and path.parent == folder and not verified.knows(path, item):
            raise InputError(
                f"{path}: put there by hand, or changed, and no hash of it is known, so that "
                f"nobody would see it change; put it into {data}/, which DVC watches, or give its "
                "sha256 in datasets.yaml"
            )
    verified.check({path: item for item, path in found.items()})
    return {item.archive: path for item, path in found.items()}


def fetch_missing(
    dataset: Dataset,
    here: Container[str],
    folder: Path,
    pauses: Sequence[float] = PAUSES,
) -> dict[str, Path]:
    """Downloads the archives that are not `here` into `folder`, several at once, and verifies them.

    The first that fails ends the others, which keep what they have.

    Raises:
        InputError: there is no room, the server does not give a file, or one is not what
            datasets.yaml describes.
        OSError: the disk is full all the same.
    """
    missing = [item for item in dataset.archives if item.archive not in here]
    if not missing:
        return {}
    verified = Verified(folder / VERIFIED)
    urls = {item: addresses(dataset, item.archive) for item in missing}
    parts = {item: Part(folder / item.archive) for item in missing}
    sizes = {item: item.bytes or remote_size(urls[item]) for item in missing}
    done = sum(part.bytes for part in parts.values())
    total = sum(size or 0 for size in sizes.values())
    require_space(folder, total - done)

    stop = threading.Event()
    with Progress("download", total, "B", done) as progress:

        def get(item: Archive) -> None:
            path = folder / item.archive
            _get(item, urls[item], parts[item], path, verified, progress.update, stop, pauses)

        at_once([partial(get, item) for item in missing], stop)
    return {item.archive: folder / item.archive for item in missing}


def at_once(tasks: Sequence[Callable[[], _Result]], stop: threading.Event) -> list[_Result]:
    """What the tasks return, several of which run at once, in threads.

    The first that fails, or Ctrl-C, sets `stop`, so that the others end too.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lets one process at a time into the download folder, so that no two write one file."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"{folder}: waiting for another download to end", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class Verified:
    """Which archives have been verified; one is hashed again when its size or time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._known = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            self._known = {}

    def check(self, archives: dict[Path, Archive]) -> None:
        """Hashes what is not known yet.

        Raises:
            InputError: a file is not what datasets.yaml describes.
        """
        new = {path: item for path, item in archives.items() if not self.knows(path, item)}
        if not new:
            return
        total = sum(path.stat().st_size for path in new)
        faults = []
        with Progress("verify", total, "B") as progress, ThreadPoolExecutor(AT_ONCE) as pool:
            hashes = list(pool.map(lambda path: file_hash(path, new[path], progress.update), new))
        for (path, item), digest in zip(new.items(), hashes, strict=True):
            if reason := fault(path, item, digest):
                faults.append(f"{path}: {reason}; replace it by the original, or remove it")
            else:
                self.remember(path, path, digest)
        if faults:
            raise InputError("; ".join(faults))

    def remember(self, path: Path, as_path: Path, digest: str) -> None:
        """Notes that `path`, which is to be called `as_path`, was verified."""
        state = path.stat()
        with self._lock:
            self._known[_key(as_path)] = [state.st_size, state.st_mtime_ns, digest]
            write_json(self._path, self._known)

    def knows(self, path: Path, item: Archive) -> bool:
        """Whether it was verified and is still as it was then."""
        size, time, digest = self._known.get(_key(path), (None, None, ""))
        state = path.stat()
        return (state.st_size, state.st_mtime_ns) == (size, time) and not mismatch(item, digest)


def _key(path: Path) -> str:
    return str(path.resolve())  # one name also where DVC_ROOT makes the folder's path absolute


def file_hash(path: Path, item: Archive, gained: Callable[[int], object] = lambda _: None) -> str:
    """Name and digest of a file by the hash that is known of it: "sha256:…", "md5:…"."""
    name = item.hash[0] if item.hash else "sha256"
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
            gained(len(block))
    return f"{name}:{digest.hexdigest()}"


def _locate(item: Archive, folder: Path, data: Path) -> Path | None:
    for path in (folder / item.archive, data / item.archive):
        if path.exists():
            require_file(path)
            if item.bytes not in (None, path.stat().st_size):
                raise InputError(
                    f"{path}: found {path.stat().st_size} bytes; expected {item.bytes}; replace it "
                    "by the original, or remove it to download it again"
                )
            return path
    return None


def mismatch(item: Archive, digest: str) -> str | None:
    """How a file's hash differs from what is known, if it does."""
    expected = ":".join(item.hash) if item.hash else None
    if expected in (None, digest):
        return None
    return f"found {digest}; expected {expected}"


def fault(path: Path, item: Archive, digest: str) -> str | None:
    """Why a file that was hashed is not the archive, if it is not; the zip's own checksums tell
    where no hash is known."""
    return mismatch(item, digest) if item.hash else damage(path)


def _get(
    item: Archive,
    urls: list[str],
    part: Part,
    path: Path,
    verified: Verified,
    gained: Callable[[int], object],
    stop: threading.Event,
    pauses: Sequence[float],
) -> None:
    """Downloads one archive from the first of `urls` that gives it, and gives it its name."""
    reasons = []
    for url in urls:
        try:
            digest = _whole(item, url, part, gained, stop, pauses)
        except InputError as error:
            reasons.append(str(error))
            continue
        verified.remember(part.path, path, digest)
        part.finish(path)
        return
    raise InputError("; ".join(reasons))


def _whole(
    item: Archive,
    url: str,
    part: Part,
    gained: Callable[[int], object],
    stop: threading.Event,
    pauses: Sequence[float],
) -> str:
    """Completes `part` from `url` and returns its hash, which is the one expected."""
    for _ in range(2):
        there = part.bytes
        attempts = download(url, part, item.bytes, gained=gained, stop=stop, pauses=pauses)
        digest = file_hash(part.path, item)
        if not (reason := fault(part.path, item, digest)):
            return digest
        gained(-part.bytes)
        part.remove()
        if not there and attempts == 1:
            break
        # Else pieces of two versions were joined, perhaps, at a server that does not tell them
        # apart: once more, from the start.
    raise InputError(f"{without_logins(url)}: {reason}: not the file that datasets.yaml describes")


def require_space(folder: Path, needed: int) -> None:
    """Raises InputError where fewer than `needed` bytes, and some to spare, are free."""
    free = shutil.disk_usage(folder).free
    if needed > 0 and needed + SPARE > free:
        raise InputError(
            f"{folder}: {needed / 1e9:.1f} GB to download and {free / 1e9:.1f} GB free; make room, "
            "or fetch fewer images with limit"
        )
