"""Single members of an archive on a server: right, or one clear error, and hardly a byte more."""

import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from archive_server import Fault, Server, serving
from lesion.fetching import remote
from lesion.fetching.remote import END, RemoteMembers
from lesion.fetching.transfer import Stopped
from lesion.photos import archives
from lesion.pipeline.errors import InputError

pytestmark = pytest.mark.long

NAME = "images.zip"
TOP = "ISIC2018_Task1-2_Training_Input"
COUNT, SIZE = 60, 5_000
CONTENTS = {
    f"{TOP}/ISIC_{i:07d}.jpg": np.random.default_rng(i).bytes(SIZE + i) for i in range(COUNT)
}
NAMES = list(CONTENTS)
DIRECTORY = COUNT * (46 + len(NAMES[0]))  # bytes


def zipped(contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return file.getvalue()


ARCHIVE = zipped(CONTENTS)


def patched(archive: bytes, name: str, local: int, central: int, value: bytes) -> bytes:
    """Overwrites a field of a member at its places in the local header and in the directory."""
    content = bytearray(archive)
    first, second = content.index(name.encode()) - 30, content.rindex(name.encode()) - 46
    assert content[first : first + 4] == b"PK\3\4" and content[second : second + 4] == b"PK\1\2"
    content[first + local : first + local + len(value)] = value
    content[second + central : second + central + len(value)] = value
    return bytes(content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.put(NAME, ARCHIVE)
        yield server


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def opened(server: Server, kept: Path, attempts: int = 2, **options) -> RemoteMembers:
    return RemoteMembers([f"{server.url}/{NAME}"], kept, pauses=(0,) * attempts, **options)


def fetched(members: RemoteMembers, names: list[str]) -> dict[str, bytes]:
    """Fetches members and reads what is kept of them."""
    members.fetch(members.lacking(names))
    return {name: members.read(name) for name in names}


def chosen(names: list[str]) -> dict[str, bytes]:
    return {name: CONTENTS[name] for name in names}


def refusal(server: Server, kept: Path, names: list[str] = NAMES[:1], **options) -> str:
    with pytest.raises(InputError) as error:
        fetched(opened(server, kept, **options), names)
    assert str(error.value).startswith(f"{server.url}/{NAME}: ")
    return str(error.value)


def test_members_are_named_as_in_the_archive(server: Server, kept: Path) -> None:
    assert opened(server, kept).names() == NAMES


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_member_comes_out_as_it_went_in(server: Server, kept: Path, method: int) -> None:
    server.put(NAME, zipped(chosen(NAMES[:9]), method))
    assert fetched(opened(server, kept), NAMES[:9]) == chosen(NAMES[:9])


def test_archives_beyond_four_gigabytes_can_be_read(
    server: Server, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # the form that larger ones are written in
    archive = zipped(CONTENTS)
    assert b"PK\6\6" in archive and b"PK\6\7" in archive
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.put(NAME, archive)
    assert fetched(opened(server, kept), NAMES[-3:]) == chosen(NAMES[-3:])


def test_hardly_more_is_received_than_the_members_and_the_directory(
    server: Server, kept: Path
) -> None:
    wanted = NAMES[10:20]
    fetched(opened(server, kept), wanted)
    headers = 10 * (30 + len(NAMES[0]))
    members = sum(len(CONTENTS[name]) for name in wanted)
    assert server.sent[NAME] == members + headers + DIRECTORY + END


def test_a_member_takes_one_request(server: Server, kept: Path) -> None:
    members = opened(server, kept)
    before = len(server.gets())
    fetched(members, NAMES[:7])
    assert len(server.gets()) == before + 7


def test_what_is_kept_is_not_requested_again(server: Server, kept: Path) -> None:
    fetched(opened(server, kept), NAMES[:5])
    members = opened(server, kept)
    before = server.sent[NAME]
    assert fetched(members, NAMES[:5]) == chosen(NAMES[:5])
    assert server.sent[NAME] == before
    fetched(members, NAMES[:6])
    assert server.sent[NAME] == before + 30 + len(NAMES[5]) + len(CONTENTS[NAMES[5]])


@pytest.mark.parametrize(
    "damage", [lambda old: b"", lambda old: old[:-1], lambda old: b"x" + old[1:]]
)
def test_a_kept_member_that_was_damaged_is_fetched_anew(server: Server, kept: Path, damage) -> None:
    fetched(opened(server, kept), NAMES[:3])
    path = kept / NAMES[1]
    path.write_bytes(damage(path.read_bytes()))
    members = opened(server, kept)
    assert [member.filename for member in members.lacking(NAMES[:3])] == [NAMES[1]]
    assert fetched(members, NAMES[:3]) == chosen(NAMES[:3])


@pytest.mark.parametrize("cut", [0, 10, 40, 1000, SIZE])
def test_a_cut_in_a_member_costs_the_member_and_the_directory(
    server: Server, kept: Path, cut: int
) -> None:
    members = opened(server, kept)
    server.fail(NAME, Fault(), Fault(cut=cut))
    assert fetched(members, NAMES[:3]) == chosen(NAMES[:3])
    wanted = sum(30 + len(name) + len(CONTENTS[name]) for name in NAMES[:3])
    assert server.sent[NAME] == wanted + cut + 2 * (DIRECTORY + END)


@pytest.mark.parametrize("request_", [0, 1])
@pytest.mark.parametrize("cut", [0, 100, 3000])
def test_a_cut_in_the_directory_is_survived(
    server: Server, kept: Path, request_: int, cut: int
) -> None:
    server.fail(NAME, *[Fault()] * request_, Fault(cut=cut))
    assert fetched(opened(server, kept), NAMES[:3]) == chosen(NAMES[:3])


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(status=429),
        Fault(change=lambda body: body[: len(body) // 2]),
        Fault(change=lambda body: bytes(len(body))),
        Fault(content_range="bytes 7-100/101"),
        Fault(content_range="bytes"),
        Fault(length=""),
    ],
    ids=["500", "503", "429", "short", "zeros", "other range", "no range", "no length"],
)
def test_one_wrong_answer_anywhere_does_no_harm(
    server: Server, kept: Path, fault: Fault, position: int
) -> None:
    server.fail(NAME, *[Fault()] * position, fault)
    assert fetched(opened(server, kept), NAMES[:3]) == chosen(NAMES[:3])


@pytest.mark.parametrize("attempts", [0, 3])
def test_a_state_that_stays_is_named_after_as_many_attempts(
    server: Server, kept: Path, attempts: int
) -> None:
    server.fail_always(NAME, Fault(status=503))
    assert "503 Server Error" in refusal(server, kept, attempts=attempts)
    assert len(server.gets()) == attempts + 1


def test_a_cut_that_stays_is_an_error_and_keeps_what_came_before(
    server: Server, kept: Path
) -> None:
    members = opened(server, kept)
    server.fail(NAME, Fault(), Fault(), *[Fault(cut=100)] * 20)
    with pytest.raises(InputError, match=f"{NAME}: could not be read in parts"):
        fetched(members, NAMES[:3])
    assert sorted(path.name for path in kept.rglob("*.*")) == [Path(n).name for n in NAMES[:2]]
    server.mend()
    members, before = opened(server, kept), server.sent[NAME]
    assert fetched(members, NAMES[:3]) == chosen(NAMES[:3])
    assert server.sent[NAME] - before == 30 + len(NAMES[2]) + len(CONTENTS[NAMES[2]])


@pytest.mark.parametrize("status", [401, 403, 404, 501])
def test_a_refusal_is_not_tried_again(server: Server, kept: Path, status: int) -> None:
    server.fail_always(NAME, Fault(status=status))
    assert f": {status} " in refusal(server, kept)
    assert len(server.gets()) == 1


def test_a_server_without_ranges_is_named_with_the_way_out(server: Server, kept: Path) -> None:
    server.fail_always(NAME, Fault(ignore_range=True))
    message = refusal(server, kept)
    assert "the server gives whole files only; set limit: 0" in message
    assert len(server.gets()) == 1


def test_a_server_that_does_not_answer_is_named(server: Server, kept: Path) -> None:
    server.close()
    assert "could not be read in parts" in refusal(server, kept)


@pytest.mark.parametrize("content", [b"", b"<p>Log in", b"x" * 10_000, ARCHIVE[:-100]])
def test_what_is_no_archive_is_refused(server: Server, kept: Path, content: bytes) -> None:
    server.put(NAME, content)
    assert "could not be read in parts" in refusal(server, kept)


@pytest.mark.parametrize("size", [len(ARCHIVE) - 1, len(ARCHIVE) + 1])
def test_an_archive_of_another_size_is_refused(server: Server, kept: Path, size: int) -> None:
    message = refusal(server, kept, size=size)
    assert f"found {len(ARCHIVE)} bytes; expected {size}" in message
    assert opened(server, kept, size=len(ARCHIVE)).names() == NAMES


@pytest.mark.parametrize(
    "fault", [Fault(status=404), Fault(status=503), Fault(ignore_range=True), None]
)
def test_mirrors_are_tried_in_turn(server: Server, kept: Path, fault: Fault | None) -> None:
    server.put("mirror.zip", ARCHIVE)
    if fault:
        server.fail_always(NAME, fault)
    else:
        server.put(NAME, zipped(chosen(NAMES[:50])))
    urls = [f"{server.url}/{name}" for name in (NAME, "mirror.zip")]
    members = RemoteMembers(urls, kept, len(ARCHIVE), pauses=())
    assert members.place == urls[1]
    assert fetched(members, NAMES[:3]) == chosen(NAMES[:3])


def test_every_address_that_failed_is_named(server: Server, kept: Path) -> None:
    urls = [f"{server.url}/{name}" for name in ("none.zip", "neither.zip")]
    with pytest.raises(InputError, match=r"none\.zip: .*404.*; .*neither\.zip: .*404"):
        RemoteMembers(urls, kept, pauses=())


@pytest.mark.parametrize(
    ("archive", "named"),
    [
        (
            ARCHIVE.replace(CONTENTS[NAMES[0]][:9], b"ninebytes"),
            f"Bad CRC-32 for file '{NAMES[0]}'",
        ),
        (patched(ARCHIVE, NAMES[0], 6, 8, b"\1\0"), "encrypted"),
        (patched(ARCHIVE, NAMES[0], 8, 10, b"\x63\0"), "method 99 (unknown)"),
        (zipped(CONTENTS, zipfile.ZIP_BZIP2), "method 12 (bzip2); expected stored or deflated"),
        (zipped(CONTENTS, zipfile.ZIP_LZMA), "method 14 (lzma); expected stored or deflated"),
        (patched(ARCHIVE, NAMES[0], 22, 24, b"\5\0\0\0"), "CRC"),
    ],
    ids=["damaged", "encrypted", "packed unknown", "bzip2", "lzma", "longer than it says"],
)
def test_a_member_that_cannot_be_read_is_an_error_and_is_not_kept(
    server: Server, kept: Path, archive: bytes, named: str
) -> None:
    server.put(NAME, archive)
    assert named in refusal(server, kept)
    assert not kept.exists()
    if "or deflated" not in named:
        assert fetched(opened(server, kept), NAMES[1:3]) == chosen(NAMES[1:3])


def test_a_member_that_is_far_too_large_is_not_requested(
    server: Server, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", SIZE)
    assert fetched(opened(server, kept), NAMES[:1]) == chosen(NAMES[:1])
    requests = len(server.gets())
    message = refusal(server, kept, NAMES[1:2])
    assert f"{NAMES[1]} has {SIZE + 1} bytes; expected at most {SIZE}" in message
    assert len(server.gets()) == requests + 2  # for the directory


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize(
    "fault",
    [
        Fault(content_range=f"bytes 0-{10**15}/{10**16}", endless=True),
        Fault(content_range=f"bytes {'9' * 5000}-{'9' * 5001}/*"),
        Fault(headers={"Content-Encoding": "gzip"}),
        Fault(status=302, endless=True),
        Fault(status=302, endless=True, headers={"Location": "http://["}),
    ],
    ids=["endless", "5000 digits", "gzip", "endless without an aim", "endless to no address"],
)
def test_a_server_that_sends_another_thing_than_asked_for_is_one_error(
    server: Server, kept: Path, fault: Fault, position: int
) -> None:
    server.fail(NAME, *[Fault()] * position, *[fault] * 9)
    assert len(refusal(server, kept)) < 1000
    assert sum(server.sent.values()) < 2**20


def test_a_directory_without_end_is_not_requested(
    server: Server, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MOST_DIRECTORY", DIRECTORY - 1)
    message = refusal(server, kept)
    assert f"its directory has {DIRECTORY} bytes; expected at most {DIRECTORY - 1}" in message
    assert server.sent[NAME] == END


def test_a_login_is_used_and_not_shown(
    server: Server, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{server.url.replace('http://', 'http://user:SECRET@')}/{NAME}?key=SECRET"
    server.fail(NAME, Fault(status=503))
    members = RemoteMembers([url], kept, pauses=(0,))
    assert fetched(members, NAMES[:1]) == chosen(NAMES[:1])
    server.fail_always(NAME, Fault(status=401))
    with pytest.raises(InputError) as error:
        fetched(members, NAMES[1:2])
    for text in (str(error.value), str(members.place), *capsys.readouterr()):
        assert "SECRET" not in text
    assert {request.login for request in server.gets()} == {"user:SECRET"}


def test_an_archive_that_changes_in_between_is_not_mixed(server: Server, kept: Path) -> None:
    members = opened(server, kept)
    server.put(NAME, zipped({name: content[::-1] for name, content in CONTENTS.items()}))
    with pytest.raises(InputError, match=f"{NAMES[0]} is another one.*changed on the server"):
        fetched(members, NAMES[:3])
    assert not kept.exists()


def test_packed_bytes_are_told_member_by_member(server: Server, kept: Path) -> None:
    members, told = opened(server, kept), []
    members.fetch(members.lacking(NAMES[:3]), told.append)
    assert told == [len(CONTENTS[name]) for name in NAMES[:3]]


def test_a_stop_ends_it_after_the_member_and_keeps_that(server: Server, kept: Path) -> None:
    stop = threading.Event()
    members = opened(server, kept, stop=stop)
    with pytest.raises(Stopped):
        members.fetch(members.lacking(NAMES[:3]), lambda _: stop.set())
    assert [path.name for path in kept.rglob("*.*")] == [Path(NAMES[0]).name]


def test_a_stop_ends_a_pause(server: Server, kept: Path) -> None:
    stop = threading.Event()
    server.fail_always(NAME, Fault(status=503, before=stop.set))
    with pytest.raises(Stopped):
        RemoteMembers([f"{server.url}/{NAME}"], kept, pauses=(3600,), stop=stop)


def test_files_of_one_name_in_two_folders_are_kept_apart(server: Server, kept: Path) -> None:
    contents = {"a/1.jpg": b"of a", "b/1.jpg": b"of b"}
    server.put(NAME, zipped(contents))
    assert fetched(opened(server, kept), list(contents)) == contents
