"""The archives of a data set: found or downloaded, verified, and never downloaded twice.

Every case ends with the right bytes or with one clear error, and no wrong file ever gets an
archive's name.
"""

import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from archive_server import PIECE, Fault, Server, described, serving, write_registry
from lesion.fetching import fetch
from lesion.fetching.datasets import Dataset, SplitSources
from lesion.fetching.sources import gather
from lesion.fetching.transfer import CHUNK
from lesion.pipeline.errors import InputError
from project import ROOT, environment

pytestmark = pytest.mark.long

A, B = "images.zip", "masks.zip"
SIZE = 400_000
WAIT = 20  # seconds until a test gives up; none is waited for in a test that passes


def made(seed: int, size: int = SIZE) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Serves the archives A and B to tests that run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "LESION_MIRROR", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.put(A, made(1))
        server.put(B, made(2))
        yield server


@pytest.fixture
def dataset(server: Server) -> Dataset:
    return described(server, A, B)


def get(dataset: Dataset, attempts: int = 2) -> None:
    gather(dataset, 0, Path("data"), pauses=(0,) * attempts)


def refusal(dataset: Dataset, attempts: int = 0) -> str:
    with pytest.raises(InputError) as error:
        get(dataset, attempts)
    return str(error.value)


def left(folder: Path = Path("downloads")) -> dict[str, bytes]:
    """What lies in the download folder, apart from what it needs itself."""
    own = {".lock", "verified.json"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in own}


def served(server: Server, *names: str) -> dict[str, bytes]:
    return {name: server.files[name].content for name in names}


def with_images(dataset: Dataset, **changes: object) -> Dataset:
    """The data set with something else said of its images."""
    images = dataset.train.images[0].model_copy(update=changes)
    return dataset.model_copy(
        update={"train": SplitSources(images=images, masks=dataset.train.masks)}
    )


def test_archives_arrive_whole_and_nothing_else_is_left(server: Server, dataset: Dataset) -> None:
    get(dataset)
    assert left() == served(server, A, B)
    assert sorted(request.path for request in server.gets()) == [A, B]


def test_what_is_there_is_not_requested_again(server: Server, dataset: Dataset) -> None:
    get(dataset)
    server.requests.clear()
    get(dataset)
    assert server.requests == []


def test_only_what_is_missing_is_requested(server: Server, dataset: Dataset) -> None:
    get(dataset)
    server.requests.clear()
    Path("downloads", B).unlink()
    get(dataset)
    assert [request.path for request in server.requests] == [B]
    assert left() == served(server, A, B)


def test_an_archive_is_hashed_once_while_size_and_time_stay(
    server: Server, dataset: Dataset
) -> None:
    get(dataset)
    path = Path("downloads", A)
    time = path.stat().st_mtime_ns
    path.write_bytes(made(3))
    os.utime(path, ns=(time, time))
    get(dataset)  # that it is another file can be told by a hash only
    os.utime(path, ns=(time, time + 1))
    assert f"{path}: found sha256:" in refusal(dataset)


def test_an_archive_of_another_size_is_hashed_again_though_the_time_stays(
    server: Server, dataset: Dataset
) -> None:
    dataset = with_images(dataset, bytes=None)
    get(dataset)
    path = Path("downloads", A)
    time = path.stat().st_mtime_ns
    path.write_bytes(made(1) + b"more")
    os.utime(path, ns=(time, time))
    assert f"{path}: found sha256:" in refusal(dataset)


def test_an_archive_put_there_by_hand_is_hashed_once(server: Server, dataset: Dataset) -> None:
    Path("downloads").mkdir()
    path = Path("downloads", A)
    path.write_bytes(made(1))
    get(dataset)
    time = path.stat().st_mtime_ns
    path.write_bytes(made(3))
    os.utime(path, ns=(time, time))
    get(dataset)
    assert server.gets(A) == []


def test_an_archive_is_hashed_again_when_datasets_yaml_says_another_hash(
    server: Server, dataset: Dataset
) -> None:
    get(dataset)
    other = with_images(dataset, sha256="0" * 64)
    assert "expected sha256:000" in refusal(other)


@pytest.mark.parametrize("content", ["", "[]", "[1]", "3"])
def test_without_a_memory_of_what_was_verified_it_is_hashed_again(
    server: Server, dataset: Dataset, content: str
) -> None:
    get(dataset)
    Path("downloads", A).write_bytes(made(3))
    Path("downloads/verified.json").write_text(content)
    assert "found sha256:" in refusal(dataset)


@pytest.mark.parametrize("folder", ["downloads", "data"])
def test_an_archive_put_there_by_hand_is_used_without_a_request(
    server: Server, dataset: Dataset, folder: str
) -> None:
    Path(folder).mkdir()
    for name in (A, B):
        Path(folder, name).write_bytes(server.files[name].content)
    (images,), (masks,) = gather(dataset, 0, Path("data"))["train"]
    assert [images.place, masks.place] == [Path(folder, A), Path(folder, B)]
    assert server.requests == []


def test_what_is_no_file_in_an_archives_place_is_refused(server: Server, dataset: Dataset) -> None:
    Path("downloads").mkdir()
    os.mkfifo(f"downloads/{A}")
    assert f"{A}: a FIFO; expected a zip archive" in refusal(dataset)


@pytest.mark.parametrize("folder", ["downloads", "data"])
@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_refused_and_left(
    server: Server, dataset: Dataset, folder: str, size: int
) -> None:
    Path(folder).mkdir()
    Path(folder, A).write_bytes(b"x" * size)
    assert refusal(dataset) == (
        f"{folder}/{A}: found {size} bytes; expected {SIZE}; replace it by the original, or remove "
        "it to download it again"
    )
    assert Path(folder, A).read_bytes() == b"x" * size and server.requests == []


@pytest.mark.parametrize("folder", ["downloads", "data"])
def test_a_file_with_another_hash_is_refused_and_left(
    server: Server, dataset: Dataset, folder: str
) -> None:
    Path(folder).mkdir()
    Path(folder, A).write_bytes(made(3))
    message = refusal(dataset)
    assert message.startswith(f"{folder}/{A}: found sha256:{hashlib.sha256(made(3)).hexdigest()}; ")
    assert f"expected sha256:{dataset.train.images[0].sha256}" in message
    assert Path(folder, A).read_bytes() == made(3) and server.requests == []


def test_every_file_with_another_hash_is_named_and_the_right_ones_are_remembered(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [A, B, "c.zip", "d.zip"]
    Path("downloads").mkdir()
    for seed, name in enumerate(names, 1):
        server.put(name, made(seed))
        Path("downloads", name).write_bytes(made(9 if name in (A, "c.zip") else seed))
    dataset = described(server, *names)
    message = refusal(dataset)
    assert f"downloads/{A}: " in message and "downloads/c.zip: " in message
    hashed, real = [], fetch.file_hash

    def spy(path: Path, *arguments: object) -> str:
        hashed.append(path.name)
        return real(path, *arguments)

    monkeypatch.setattr(fetch, "file_hash", spy)
    refusal(dataset)
    assert sorted(hashed) == ["c.zip", A]


def test_md5_does_where_it_is_all_that_is_known(server: Server, dataset: Dataset) -> None:
    right = hashlib.md5(made(1)).hexdigest()
    get(with_images(dataset, sha256=None, md5=right, bytes=None))
    assert left() == served(server, A, B)
    os.utime(Path("downloads", A), ns=(0, 0))
    wrong = with_images(dataset, sha256=None, md5="0" * 32)
    assert f"found md5:{right}; expected md5:{'0' * 32}" in refusal(wrong)


def test_cut_connections_end_in_the_right_archive_and_cost_nothing(
    server: Server, dataset: Dataset
) -> None:
    cuts = [100, CHUNK + 100, 2 * CHUNK + 5]
    server.fail(A, *[Fault(cut=cut) for cut in cuts])
    get(dataset)
    assert left() == served(server, A, B)
    assert server.sent_twice(A) == server.sent_twice(B) == 0


def test_what_a_failed_download_left_is_gone_on_with(server: Server, dataset: Dataset) -> None:
    server.fail(A, Fault(cut=2 * CHUNK), *[Fault(status=503)] * 9)
    message = refusal(dataset)
    assert f"{server.url}/{A}: " in message and "503" in message and f"{2 * CHUNK} bytes" in message
    assert f"{A}.part" in left() and A not in left()
    server.mend()
    get(dataset)
    assert left() == served(server, A, B)
    assert server.sent_twice(A) == 0


def test_wrong_bytes_of_the_right_size_are_refused_with_both_hashes(
    server: Server, dataset: Dataset
) -> None:
    server.fail_always(A, Fault(change=lambda body: made(3)))
    message = refusal(dataset)
    assert f"{server.url}/{A}: found sha256:{hashlib.sha256(made(3)).hexdigest()}" in message
    assert f"expected sha256:{dataset.train.images[0].sha256}" in message
    assert len(server.gets(A)) == 1
    assert A not in left() and f"{A}.part" not in left()


def test_pieces_of_two_versions_that_the_server_does_not_tell_apart_are_begun_anew(
    server: Server, dataset: Dataset
) -> None:
    server.put(A, made(3), described=False)
    server.fail(
        A, Fault(cut=CHUNK, gate=lambda sent: sent and server.put(A, made(1), described=False))
    )
    get(dataset)
    assert left() == served(server, A, B)
    assert [request.range for request in server.gets(A)] == [None, f"bytes={CHUNK}-", None]


def test_pieces_of_two_versions_from_two_runs_are_begun_anew(
    server: Server, dataset: Dataset
) -> None:
    server.put(A, made(3), described=False)
    server.fail(A, Fault(cut=CHUNK), Fault(status=404))
    refusal(dataset)
    server.put(A, made(1), described=False)
    get(dataset)
    assert left() == served(server, A, B)
    assert server.sent_twice(A) == SIZE


def test_a_server_with_a_wrong_file_is_asked_for_it_twice_at_most(
    server: Server, dataset: Dataset
) -> None:
    server.put(A, made(3))
    server.fail(A, Fault(cut=CHUNK))
    assert "found sha256:" in refusal(dataset, attempts=5)
    assert [request.range for request in server.gets(A)] == [None, f"bytes={CHUNK}-", None]
    assert A not in left() and f"{A}.part" not in left()


def test_a_part_that_was_damaged_on_the_disk_is_begun_anew(
    server: Server, dataset: Dataset
) -> None:
    server.fail(A, Fault(cut=2 * CHUNK), Fault(status=404))
    refusal(dataset)
    Path("downloads", f"{A}.part").write_bytes(b"x" * 2 * CHUNK)
    get(dataset)
    assert left() == served(server, A, B)


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_the_server_does_not_give_is_named_with_its_address(
    server: Server, dataset: Dataset, status: int
) -> None:
    server.fail_always(B, Fault(status=status))
    message = refusal(dataset)
    assert f"{server.url}/{B}: the server answers {status}" in message
    assert B not in left()


def test_a_mirror_in_the_environment_takes_the_place_of_the_address(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (A, B):
        server.put(f"copy/{name}", server.files[name].content)
    monkeypatch.setenv("LESION_MIRROR", f"{server.url}/copy")
    get(dataset)
    assert left() == served(server, A, B)
    assert {request.path for request in server.requests} == {f"copy/{A}", f"copy/{B}"}


@pytest.mark.parametrize(
    "mirror",
    [
        *("example.org/files", "file:///data", "/data", "http://", "https:///a", "http://[a/"),
        *("ftp://user:SECRET@host/", "user:SECRET@host", "http://user:SE#SECRET@host/"),
        *("http://user:SE/SECRET@host/", "http://host:port/", "http://host:99999/"),
    ],
)
def test_a_mirror_that_is_no_web_address_is_refused(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv("LESION_MIRROR", mirror)
    message = refusal(dataset)
    assert message.startswith("LESION_MIRROR: found another thing than an address")
    assert "SECRET" not in message and not server.requests


def test_a_mirror_with_a_login_and_a_key_is_used_and_leaves_no_trace_of_them(
    server: Server,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = server.url.replace("http://", "http://user:SECRET@")
    monkeypatch.setenv("LESION_MIRROR", f"{base}/?key=SECRET")
    server.fail(A, Fault(cut=CHUNK), Fault(status=503))
    message = refusal(dataset, attempts=0)
    kept = [path.read_text("latin1") for path in Path("downloads").iterdir()]
    assert len(kept) >= 3  # one is the note on the part
    server.fail_always(A, Fault(change=lambda body: body[::-1]))
    message += refusal(dataset)
    for text in (message, *capsys.readouterr(), *kept):
        assert "SECRET" not in text
    server.mend()
    get(dataset)
    assert left() == served(server, A, B)
    assert {request.login for request in server.requests} == {"user:SECRET"}


def test_a_data_set_without_an_address_says_where_to_put_the_archive(
    server: Server, dataset: Dataset
) -> None:
    nowhere = dataset.model_copy(update={"base_url": None})
    assert f"downloads/{A}: not found" in refusal(nowhere)
    for name in (A, B):
        Path("downloads", name).write_bytes(server.files[name].content)
    get(nowhere)


def test_a_proxy_in_the_environment_is_used(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    get(described(server, A, B, base_url="http://files.invalid/"))
    assert left() == served(server, A, B)
    assert all(request.proxied for request in server.requests)


def mirrored(server: Server, *mirrors: str) -> Dataset:
    """A data set whose first address, and these mirrors, hold the archives."""
    for mirror in mirrors:
        for name in (A, B):
            file = server.files[name]
            server.files[f"{mirror}/{name}"] = replace(file, etag=f'"{mirror} {file.etag[1:]}')
    return described(server, A, B, mirrors=[f"{server.url}/{mirror}" for mirror in mirrors])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(status=503),
        Fault(cut=0),
        Fault(change=lambda body: made(3)),
        Fault(change=lambda body: body[1:]),
        Fault(change=lambda body: b"<p>Log in", type="text/html"),
    ],
    ids=["missing", "failing", "cut", "wrong bytes", "wrong size", "web page"],
)
def test_mirrors_are_tried_in_turn(server: Server, fault: Fault) -> None:
    dataset = mirrored(server, "one", "two")
    server.fail_always(A, fault)
    server.fail_always(f"one/{A}", fault)
    get(dataset)
    assert left() == served(server, A, B)
    assert len(server.gets(f"two/{A}")) == 1
    assert not server.gets(f"one/{B}")


def test_a_mirror_goes_on_where_the_first_address_failed(server: Server) -> None:
    dataset = mirrored(server, "one")
    server.fail(A, Fault(cut=2 * CHUNK), *[Fault(status=503)] * 9)
    get(dataset)
    assert left() == served(server, A, B)
    assert server.sent[A] + server.sent[f"one/{A}"] == SIZE


def test_what_came_from_a_mirror_is_gone_on_with_at_the_first_address(server: Server) -> None:
    dataset = mirrored(server, "one")
    server.fail(A, Fault(status=404))
    server.fail(f"one/{A}", Fault(cut=2 * CHUNK), Fault(status=404))
    refusal(dataset)
    get(dataset)
    assert left() == served(server, A, B)
    assert server.sent[A] + server.sent[f"one/{A}"] == SIZE


def test_every_address_that_failed_is_named(server: Server) -> None:
    dataset = mirrored(server, "one")
    server.fail_always(A, Fault(status=404))
    server.fail_always(f"one/{A}", Fault(status=403))
    message = refusal(dataset)
    assert f"{server.url}/{A}: the server answers 404" in message
    assert f"{server.url}/one/{A}: the server answers 403" in message


def unknown(dataset: Dataset) -> Dataset:
    """The data set of whose images neither size nor hash is known."""
    return with_images(dataset, bytes=None, sha256=None)


def test_an_archive_of_unknown_size_and_hash_is_checked_by_its_own_checksums(
    server: Server, dataset: Dataset
) -> None:
    server.put(A, zipped(a=made(1), b=made(2)))
    server.fail(A, Fault(cut=2 * CHUNK))
    get(unknown(dataset))
    assert left() == served(server, A, B)
    assert server.sent_twice(A) == 0


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (zipped(a=made(1)).replace(made(1)[1000:1010], b"0123456789"), "found member a damaged"),
        (zipped(a=made(1))[:-10], "found no whole zip archive"),
        (b"<p>Log in", "found no whole zip archive"),
        (b"", "found no whole zip archive"),
    ],
    ids=["member", "end", "page", "empty"],
)
def test_a_damaged_archive_of_unknown_hash_is_refused(
    server: Server, dataset: Dataset, content: bytes, found: str
) -> None:
    server.put(A, content)
    message = refusal(unknown(dataset))
    assert f"{server.url}/{A}: {found}" in message
    assert A not in left()
    Path("data").mkdir()
    Path("data", A).write_bytes(content)
    assert f"data/{A}: {found}" in refusal(unknown(dataset))


def test_an_archive_of_unknown_hash_in_downloads_is_refused_unless_it_was_downloaded(
    server: Server, dataset: Dataset
) -> None:
    Path("downloads").mkdir()
    Path("downloads", A).write_bytes(zipped(a=made(3)))
    message = refusal(unknown(dataset))
    assert message.startswith(f"downloads/{A}: put there by hand, or changed, and no hash of it is")
    assert "put it into data/, which DVC watches" in message
    Path("downloads", A).unlink()
    server.put(A, zipped(a=made(4)))
    get(unknown(dataset))
    get(unknown(dataset))
    Path("downloads", A).write_bytes(zipped(a=made(3)))
    assert refusal(unknown(dataset)) == message


def test_too_little_room_is_refused_before_anything_is_downloaded(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 2 * SIZE + fetch.SPARE
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    message = refusal(dataset)
    assert message.startswith("downloads: ") and "make room" in message
    assert server.gets() == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    get(dataset)


def test_room_is_needed_only_for_what_is_not_there_yet(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fail(A, Fault(cut=2 * CHUNK), Fault(status=404))
    Path("downloads").mkdir()
    Path("downloads", B).write_bytes(made(2))
    refusal(dataset)
    usage = shutil.disk_usage(".")
    free = SIZE - 2 * CHUNK + fetch.SPARE
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    get(dataset)
    assert left() == served(server, A, B)


def test_room_for_an_archive_of_unknown_size_is_asked_of_the_server(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")
    free = fetch.SPARE + 2 * SIZE - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    assert "make room" in refusal(unknown(dataset))
    assert [request.method for request in server.requests] == ["HEAD"]


def test_a_disk_that_fills_up_is_named_and_keeps_what_came(
    server: Server, dataset: Dataset
) -> None:
    room = CHUNK + 12_345
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    dataset = mirrored(server, "one")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        message = refusal(dataset)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert message.startswith("downloads: File too large; what was downloaded is kept")
    assert not server.gets(f"one/{A}") and not server.gets(f"one/{B}")
    parts = {name: content for name, content in left().items() if name.endswith(".part")}
    assert max(map(len, parts.values())) == room
    for name, content in parts.items():
        assert server.files[name.removesuffix(".part")].content.startswith(content)
    server.requests.clear()
    get(dataset)
    assert left() == served(server, A, B)
    for name, content in parts.items():
        (request,) = server.gets(name.removesuffix(".part"))
        assert request.range == (f"bytes={len(content)}-" if content else None)


def test_four_archives_are_downloaded_at_a_time(server: Server) -> None:
    names = [f"{letter}.zip" for letter in "abcdef"]
    four, fifth, seen = threading.Barrier(4), threading.Event(), []

    def hold() -> None:
        four.wait(WAIT)
        seen.append(fifth.wait(0.1))

    for i, name in enumerate(names):
        server.put(name, made(i, 1000))
        server.fail(name, Fault(before=hold if i < 4 else fifth.set))
    get(described(server, *names), attempts=0)
    assert left() == served(server, *names)
    assert not all(seen) and len(seen) == 4


def test_progress_counts_no_byte_twice(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = []

    class Bar(fetch.Progress):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            bars.append(self)

    server.fail(A, Fault(cut=2 * CHUNK), Fault(status=404))
    Path("downloads").mkdir()
    Path("downloads", B).write_bytes(made(2))
    refusal(dataset)
    Path("downloads", f"{A}.part").write_bytes(b"x" * 2 * CHUNK)  # so that it is begun anew
    monkeypatch.setattr(fetch, "Progress", Bar)
    get(dataset)
    (bar,) = bars
    assert (bar.initial, bar.n, bar.total) == (2 * CHUNK, SIZE, SIZE)


def test_a_download_that_fails_ends_the_others_which_keep_what_they_have(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, stops = threading.Event(), []
    real = fetch.at_once
    monkeypatch.setattr(
        fetch, "at_once", lambda tasks, stop: stops.append(stop) or real(tasks, stop)
    )

    def hold(sent: int) -> None:
        if sent == 2 * CHUNK:
            half.set()
            stops[0].wait(WAIT)

    server.fail(A, Fault(gate=hold))
    server.fail(B, Fault(status=404, before=lambda: half.wait(WAIT)))
    assert "404" in refusal(dataset)
    part = left()[f"{A}.part"]
    assert CHUNK <= len(part) < SIZE and made(1).startswith(part)
    get(dataset)
    assert left() == served(server, A, B)
    assert [request.range for request in server.gets(A)] == [None, f"bytes={len(part)}-"]


def test_the_archives_lie_in_the_root_that_dvc_names(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("experiment").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path / "experiment")
    get(dataset)
    assert left(tmp_path / "downloads") == served(server, A, B)
    assert list(Path().iterdir()) == []
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetch, "file_hash", lambda *_: pytest.fail("was verified already"))
    get(dataset)


# Processes that are killed, broken off, or run side by side.

FETCH = """
import os, signal, sys
# A process that a shell started in the background does not heed Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from types import SimpleNamespace
sys.modules["pandas"] = SimpleNamespace(DataFrame=None)  # slow to import, and not needed here
from pathlib import Path
import lesion.fetching.fetch, lesion.fetching.transfer
from lesion.fetching.datasets import load_datasets
from lesion.fetching.sources import gather

def die(*args):
    if name == "replace":
        os.replace(*args)
    os.kill(os.getpid(), signal.SIGKILL)

if len(sys.argv) > 1:  # dies in place of this function, or after renaming
    owner, name = sys.argv[1].rsplit(".", 1)
    setattr(eval(owner), name, die)
gather(load_datasets()["made"], 0, Path("data"), pauses=())
"""


def start(dataset: Dataset, *arguments: str) -> subprocess.Popen[str]:
    """Starts a process that downloads the data set into the current folder."""
    write_registry(Path(), made=dataset)
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, *arguments],
        env={**environment(), "PYTHONPATH": str(ROOT / "stages")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class Hold:
    """A gate that lets `count` bytes pass, and then nothing more until it is opened."""

    count: int

    def __post_init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, sent: int) -> None:
        if sent == self.count:
            self.reached.set()
            self.opened.wait(WAIT)
            raise ConnectionAbortedError


def wait_for_part(name: str, count: int) -> bytes:
    """The part as soon as it has so many bytes."""
    path, end = Path("downloads", f"{name}.part"), time.monotonic() + WAIT
    while not path.exists() or path.stat().st_size < count:
        assert time.monotonic() < end, f"{name} never had {count} bytes"
        time.sleep(0.002)
    return path.read_bytes()


def test_a_process_killed_again_and_again_goes_on_from_where_it_was(
    server: Server, dataset: Dataset
) -> None:
    Path("downloads").mkdir()
    Path("downloads", B).write_bytes(made(2))
    passed, there = [6 * PIECE, 9 * PIECE], [0]
    for count in passed:
        hold = Hold(count)
        server.fail(A, Fault(gate=hold))
        process = start(dataset)
        assert hold.reached.wait(WAIT)
        there.append(there[-1] + count // CHUNK * CHUNK)
        part = wait_for_part(A, there[-1])
        process.kill()
        process.communicate()
        hold.opened.set()
        assert process.returncode == -signal.SIGKILL
        assert part == made(1)[: there[-1]] and A not in left()
    get(dataset)
    assert left() == served(server, A, B)
    expected = [f"bytes={count}-" if count else None for count in there]
    assert [request.range for request in server.gets(A)] == expected
    assert server.sent_twice(A) == sum(count % CHUNK for count in passed) < len(passed) * CHUNK


@pytest.mark.parametrize(
    "moment",
    [
        "lesion.fetching.fetch.file_hash",
        "lesion.fetching.transfer.Part.finish",
        "Path.replace",
    ],
)
def test_a_process_killed_after_the_last_byte_loses_nothing(
    server: Server, dataset: Dataset, moment: str
) -> None:
    Path("downloads").mkdir()
    Path("downloads", B).write_bytes(made(2))
    process = start(dataset, moment)
    process.communicate(timeout=WAIT)
    assert process.returncode == -signal.SIGKILL
    assert (A in left()) == (moment == "Path.replace")
    get(dataset)
    assert served(server, A, B).items() <= left().items()
    assert server.sent_twice(A) == 0 and f"{A}.part" not in left()


def test_ctrl_c_keeps_the_part(server: Server, dataset: Dataset) -> None:
    server.put(A, made(1, 2**22))
    dataset = described(server, A, B)
    half = threading.Event()

    def trickle(sent: int) -> None:  # so that the file does not end before the process
        if sent >= CHUNK:
            half.set()
            time.sleep(0.02)

    server.fail(A, Fault(gate=trickle))
    process = start(dataset)
    assert half.wait(WAIT)
    wait_for_part(A, CHUNK)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT)
    assert "KeyboardInterrupt" in errors
    part = left()[f"{A}.part"]
    assert CHUNK <= len(part) < 2**22 and made(1, 2**22).startswith(part)
    server.requests.clear()
    get(dataset)
    assert left() == served(server, A, B)
    assert server.gets(A)[0].range == f"bytes={len(part)}-"


def test_two_processes_at_once_download_each_archive_once(server: Server, dataset: Dataset) -> None:
    begun, waiting = threading.Event(), threading.Event()

    def gate(sent: int) -> None:
        if sent == CHUNK:
            begun.set()
            waiting.wait(WAIT)

    server.fail(A, Fault(gate=gate))
    first = start(dataset)
    assert begun.wait(WAIT)
    second = start(dataset)
    assert second.stdout.readline() == "downloads: waiting for another download to end\n"
    waiting.set()
    for process in (first, second):
        _, errors = process.communicate(timeout=WAIT)
        assert process.returncode == 0, errors
    assert left() == served(server, A, B)
    assert server.sent_twice(A) == server.sent_twice(B) == 0
    assert json.loads(Path("downloads/verified.json").read_text()).keys() == {
        str(Path("downloads", name).resolve()) for name in (A, B)
    }
