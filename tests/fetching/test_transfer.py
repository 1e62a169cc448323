"""One file by HTTP: whole and right, or one clear error; what was received is not sent again.

Bytes are counted at the server. Its answers end where a test says, so that nothing is under way.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archive_server import Fault, Server, serving
from lesion.fetching.transfer import CHUNK, Part, Stopped, Version, download, remote_size
from lesion.pipeline.errors import InputError

pytestmark = pytest.mark.long

NAME = "a.zip"
SIZE = 300_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
OTHER = np.random.default_rng(1).bytes(SIZE)
HALF = 2 * CHUNK


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.put(NAME, CONTENT)
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(tmp_path / NAME)


def get(server: Server, part: Part, size: int | None = SIZE, **options) -> int:
    """Downloads the file; holds that what `gained` was told adds up to the bytes that came."""
    counted, before = [], part.bytes
    watch = options.pop("watch", lambda: None)

    def gained(count: int) -> None:
        counted.append(count)
        watch()

    try:
        pauses = (0,) * options.pop("attempts", 3)
        return download(f"{server.url}/{NAME}", part, size, gained=gained, pauses=pauses, **options)
    finally:
        assert sum(counted) == part.bytes - before


def refusal(server: Server, part: Part, size: int | None = SIZE, **options) -> str:
    with pytest.raises(InputError) as error:
        get(server, part, size, **options)
    assert f"{server.url}/{NAME}: " in str(error.value)
    return str(error.value)


def begin(server: Server, part: Part, count: int = HALF) -> None:
    """Leaves a part of `count` bytes, as a cut connection does."""
    server.fail(NAME, Fault(cut=count))
    server.fail(NAME, Fault(status=503))
    refusal(server, part, attempts=0)
    assert part.bytes == count
    server.requests.clear()
    server.sent.clear()
    server.sent[NAME] = count


def ranges(server: Server) -> list[str | None]:
    return [request.range for request in server.gets(NAME)]


def test_a_file_arrives_whole_by_one_request(server: Server, part: Part) -> None:
    assert get(server, part) == 1
    assert part.path.read_bytes() == CONTENT
    assert ranges(server) == [None] and server.sent[NAME] == SIZE


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_a_file_of_any_size_arrives_whole(server: Server, part: Part, size: int) -> None:
    server.put(NAME, CONTENT[:size])
    get(server, part, size)
    assert part.path.read_bytes() == CONTENT[:size]


@pytest.mark.parametrize("cut", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, HALF, SIZE - 1])
def test_a_cut_connection_is_gone_on_with_and_costs_nothing(
    server: Server, part: Part, cut: int
) -> None:
    server.fail(NAME, Fault(cut=cut))
    assert get(server, part, attempts=1) == 2
    assert part.path.read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={cut}-" if cut else None]
    assert server.sent_twice(NAME) == 0


def test_cuts_without_end_are_survived_as_long_as_each_attempt_gains(
    server: Server, part: Part
) -> None:
    server.fail(NAME, *[Fault(cut=CHUNK + 100)] * 4)
    assert get(server, part, attempts=0) == 5
    assert part.path.read_bytes() == CONTENT
    assert server.sent_twice(NAME) == 0


@pytest.mark.parametrize("attempts", [0, 1, 4])
def test_attempts_in_vain_end_after_as_many_pauses_and_keep_the_part(
    server: Server, part: Part, attempts: int
) -> None:
    begin(server, part)
    server.fail_always(NAME, Fault(cut=0))
    message = refusal(server, part, attempts=attempts)
    assert f"ended at {HALF} of {SIZE} bytes" in message or "Connection broken" in message
    assert f"{HALF} bytes are kept, run it again" in message
    assert len(server.gets()) == attempts + 1
    assert part.bytes == HALF


def test_a_gain_makes_the_server_worth_all_attempts_again(server: Server, part: Part) -> None:
    in_vain = [Fault(status=503)] * 3
    server.fail(NAME, *in_vain, Fault(cut=CHUNK), *in_vain, Fault(cut=CHUNK), *in_vain)
    assert get(server, part, attempts=3) == 12
    assert part.path.read_bytes() == CONTENT


def test_pauses_grow_until_something_is_gained(
    server: Server, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda pause: waited.append(pause) and False)
    failing = [Fault(status=503)] * 2
    server.fail(NAME, *failing, Fault(cut=CHUNK), *failing)
    download(f"{server.url}/{NAME}", part, SIZE, stop=stop, pauses=(1, 2, 3))
    assert waited == [1, 2, 1, 1, 2]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_state_that_passes_is_tried_again_and_loses_nothing(
    server: Server, part: Part, status: int
) -> None:
    begin(server, part)
    server.fail(NAME, *[Fault(status=status)] * 2)
    assert get(server, part, attempts=2) == 3
    assert part.path.read_bytes() == CONTENT
    assert server.sent_twice(NAME) == 0


def test_a_state_that_stays_is_named_and_keeps_the_part(server: Server, part: Part) -> None:
    begin(server, part)
    server.fail_always(NAME, Fault(status=503))
    assert "the server answers 503 Service Unavailable" in refusal(server, part)
    server.mend()
    get(server, part)
    assert part.path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_is_not_tried_again_and_keeps_the_part(
    server: Server, part: Part, status: int
) -> None:
    begin(server, part)
    server.fail_always(NAME, Fault(status=status))
    assert f"the server answers {status}" in refusal(server, part)
    assert len(server.gets()) == 1 and part.bytes == HALF


def test_a_server_that_does_not_answer_is_named(server: Server, part: Part) -> None:
    server.close()
    assert "could not be downloaded" in refusal(server, part, attempts=1)


def test_a_whole_part_needs_no_request(server: Server, part: Part) -> None:
    get(server, part)
    server.requests.clear()
    get(server, part)
    get(server, part, size=None)
    assert server.requests == []


def test_a_server_without_ranges_sends_the_file_anew(server: Server, part: Part) -> None:
    begin(server, part)
    server.fail_always(NAME, Fault(ignore_range=True))
    get(server, part)
    assert part.path.read_bytes() == CONTENT
    assert server.sent_twice(NAME) == HALF


def test_a_server_without_ranges_that_cuts_every_answer_does_not_go_on_for_ever(
    server: Server, part: Part
) -> None:
    server.fail_always(NAME, Fault(ignore_range=True, cut=HALF))
    assert "could not be downloaded" in refusal(server, part, attempts=3)
    assert len(server.gets()) == 5


def test_a_file_that_changed_is_begun_anew(server: Server, part: Part) -> None:
    begin(server, part)
    server.put(NAME, OTHER)
    get(server, part)
    assert part.path.read_bytes() == OTHER
    assert ranges(server) == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("known", ["etag", "modified"])
def test_either_etag_or_date_tells_that_a_file_changed(
    server: Server, part: Part, known: str
) -> None:
    file = server.files[NAME]
    other = {"etag": '"new"', "modified": "Fri, 01 Jan 2021 00:00:00 GMT"}[known]
    alone = {"etag": None, "modified": None}
    server.files[NAME] = replace(file, **alone | {known: getattr(file, known)})
    begin(server, part)
    server.files[NAME] = replace(file, content=OTHER, **alone | {known: other})
    get(server, part)
    assert part.path.read_bytes() == OTHER


def test_a_file_of_another_length_is_another_file(server: Server, part: Part) -> None:
    server.put(NAME, CONTENT, described=False)
    begin(server, part)
    server.put(NAME, OTHER + b"more", described=False)
    get(server, part, size=None)
    assert part.path.read_bytes() == OTHER + b"more"


def test_a_file_that_became_shorter_than_the_part_is_begun_anew(server: Server, part: Part) -> None:
    begin(server, part)
    server.put(NAME, OTHER[:1000])
    get(server, part, size=None)
    assert part.path.read_bytes() == OTHER[:1000]


def test_a_server_that_changes_the_file_at_each_answer_does_not_go_on_for_ever(
    server: Server, part: Part
) -> None:
    def swap(_: int) -> None:
        server.put(NAME, OTHER if server.files[NAME].content == CONTENT else CONTENT)

    server.fail_always(NAME, Fault(cut=HALF, gate=lambda sent: swap(sent) if sent == HALF else 0))
    assert "could not be downloaded" in refusal(server, part, attempts=3)
    assert len(server.gets()) < 12


def test_a_file_at_a_second_address_is_gone_on_with_though_its_etag_differs(
    server: Server, part: Part
) -> None:
    begin(server, part)
    server.files["mirror.zip"] = replace(server.files[NAME], etag='"another server"')
    download(f"{server.url}/mirror.zip", part, SIZE, pauses=())
    assert part.path.read_bytes() == CONTENT
    assert server.sent["mirror.zip"] == SIZE - HALF
    assert part.version.url == f"{server.url}/mirror.zip"


def test_a_second_address_with_a_file_of_another_size_gets_no_say(
    server: Server, part: Part
) -> None:
    begin(server, part)
    server.put("mirror.zip", CONTENT[: HALF // 2])
    with pytest.raises(InputError, match=rf"mirror.zip: found {HALF // 2} bytes; expected {SIZE}"):
        download(f"{server.url}/mirror.zip", part, SIZE, pauses=())
    assert part.bytes == HALF


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_than_expected_is_refused_before_it_is_received(
    server: Server, part: Part, size: int
) -> None:
    assert f"found {SIZE} bytes; expected {size}" in refusal(server, part, size)
    assert part.bytes == 0 and len(server.gets()) == 1


def test_a_web_page_is_refused_and_keeps_the_part(server: Server, part: Part) -> None:
    begin(server, part)
    page = Fault(ignore_range=True, type="text/html; charset=utf-8", change=lambda _: b"<p>Log in")
    server.fail_always(NAME, page)
    assert "found a web page; expected a zip archive" in refusal(server, part, size=None)
    assert part.bytes == HALF


@pytest.mark.parametrize(
    "wrong", [f"bytes 0-{SIZE - 1}/{SIZE}", f"bytes {HALF + 1}-{SIZE - 1}/{SIZE}"]
)
def test_an_answer_from_another_position_than_asked_for_is_not_appended(
    server: Server, part: Part, wrong: str
) -> None:
    begin(server, part)
    server.fail(NAME, Fault(content_range=wrong))
    get(server, part)
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", ["", "bytes", "bytes x-y/z", "octets 1-2/3", "bytes -5/10"])
def test_an_answer_without_a_position_is_not_appended_and_loses_nothing(
    server: Server, part: Part, wrong: str
) -> None:
    begin(server, part)
    server.fail(NAME, Fault(content_range=wrong))
    get(server, part)
    assert part.path.read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={HALF}-"] * 2


def test_a_total_that_the_server_does_not_know_is_no_other_version(
    server: Server, part: Part
) -> None:
    begin(server, part)
    server.fail(NAME, Fault(content_range=f"bytes {HALF}-{SIZE - 1}/*"))
    assert get(server, part) == 1
    assert part.path.read_bytes() == CONTENT and server.sent_twice(NAME) == 0


def test_an_answer_that_ends_before_its_range_is_gone_on_with(server: Server, part: Part) -> None:
    begin(server, part)
    server.fail(NAME, Fault(change=lambda body: body[:CHUNK]))
    assert get(server, part) == 2
    assert part.path.read_bytes() == CONTENT and server.sent_twice(NAME) == 0


def test_fewer_bytes_than_announced_are_gone_on_with(server: Server, part: Part) -> None:
    server.fail(NAME, Fault(length=str(SIZE), change=lambda body: body[:HALF]))
    assert get(server, part) == 2
    assert part.path.read_bytes() == CONTENT and server.sent_twice(NAME) == 0


def test_more_bytes_than_announced_are_not_received(server: Server, part: Part) -> None:
    server.fail(NAME, Fault(length=str(SIZE), change=lambda body: body + b"more"))
    assert get(server, part) == 1
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "fault",
    [Fault(length="", change=lambda body: body + b"m"), Fault(endless=True)],
    ids=["a byte more", "endless"],
)
def test_more_bytes_than_expected_are_refused_when_the_first_has_come(
    server: Server, part: Part, fault: Fault
) -> None:
    most = []
    server.fail(NAME, fault)
    message = refusal(server, part, watch=lambda: most.append(part.bytes))
    assert f"sends more than the {SIZE} bytes that were expected" in message
    assert max(most) == SIZE + 1 and part.bytes == 0


def test_more_bytes_than_announced_after_a_part_are_refused_too(server: Server, part: Part) -> None:
    begin(server, part)
    server.fail(NAME, Fault(endless=True))
    assert get(server, part, size=None) == 2
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize("known", [SIZE, None])
@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "٣", "12, 13", "9" * 40])
def test_a_length_that_is_no_size_of_a_file_is_none(
    server: Server, part: Part, length: str, known: int | None
) -> None:
    server.fail(NAME, Fault(length=length))
    get(server, part, known)
    assert part.path.read_bytes() == CONTENT
    server.fail_always(NAME, Fault(length=length))
    assert remote_size([f"{server.url}/{NAME}"]) is None


@pytest.mark.parametrize("kind", ["gzip", "deflate", "br", "x-gzip", "gzip, gzip"])
def test_a_body_that_is_packed_on_its_way_is_refused_before_it_is_received(
    server: Server, part: Part, kind: str
) -> None:
    bomb = gzip.compress(bytes(50 * SIZE))
    server.fail(NAME, Fault(change=lambda _: bomb, headers={"Content-Encoding": kind}))
    assert f"sends the archive packed ({kind}); expected it as it is" in refusal(server, part)
    assert part.bytes == 0 and len(server.gets()) == 1
    server.fail_always(NAME, Fault(headers={"Content-Encoding": kind}))
    assert remote_size([f"{server.url}/{NAME}"]) is None


def test_what_a_pointer_to_another_address_sends_besides_is_not_read(
    server: Server, part: Part
) -> None:
    there = {"Location": f"{server.url}/{NAME}"}
    server.put("old.zip", CONTENT)
    server.fail("old.zip", Fault(status=302, endless=True, headers=there))
    assert download(f"{server.url}/old.zip", part, SIZE) == 1
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["http://[", "ftp://host/a.zip", "http://", "http://a:x/", "//"])
def test_a_pointer_to_no_address_is_one_error(server: Server, part: Part, target: str) -> None:
    server.fail_always(NAME, Fault(status=302, headers={"Location": target}))
    assert "could not be downloaded" in refusal(server, part, attempts=0)


def test_a_part_larger_than_the_file_is_begun_anew(server: Server, part: Part) -> None:
    begin(server, part)
    with part.path.open("ab") as file:
        file.write(bytes(SIZE))
    assert get(server, part) == 1
    assert part.path.read_bytes() == CONTENT


def with_login(server: Server) -> str:
    return f"{server.url.replace('http://', 'http://tester:SE%40CRET@')}/{NAME}?key=SECRET"


def test_a_login_is_used_and_neither_kept_nor_shown(
    server: Server, part: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    url = with_login(server)
    server.fail(NAME, Fault(status=503), Fault(cut=HALF), Fault(status=404))
    with pytest.raises(InputError) as error:
        download(url, part, SIZE, pauses=(0, 0))
    note = part.path.with_name(f"{NAME}.part.json").read_text()
    for text in (str(error.value), *capsys.readouterr(), note):
        assert "SE%40CRET" not in text and "SECRET" not in text and "SE@CRET" not in text
    assert {request.login for request in server.gets()} == {"tester:SE@CRET"}
    download(url, part, SIZE)
    assert part.path.read_bytes() == CONTENT and server.sent_twice(NAME) == 0


def test_the_note_of_an_earlier_download_with_a_login_is_gone_on_with(
    server: Server, part: Part
) -> None:
    begin(server, part)
    part.note(replace(part.version, url=with_login(server)))
    download(with_login(server), part, SIZE)
    assert part.path.read_bytes() == CONTENT and server.sent_twice(NAME) == 0


def test_a_server_that_does_not_answer_is_named_without_the_login(part: Part) -> None:
    with pytest.raises(InputError) as error:
        download("http://tester:SECRET@127.0.0.1:1/a.zip?key=SECRET", part, SIZE, pauses=())
    assert "http://***@127.0.0.1:1/a.zip?***: could not be downloaded" in str(error.value)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("length", ["", "x"])
@pytest.mark.parametrize("cut", [None, HALF])
def test_a_server_that_announces_no_length_gives_the_file_whole(
    server: Server, part: Part, length: str, cut: int | None
) -> None:
    server.fail(NAME, Fault(length=length, cut=cut))
    get(server, part)
    assert part.path.read_bytes() == CONTENT and server.sent_twice(NAME) == 0


@pytest.mark.parametrize("note", [None, "", "[]", "{}", '{"bytes": 3}', "\0"])
def test_a_part_of_unknown_origin_is_not_gone_on_with(
    server: Server, part: Part, tmp_path: Path, note: str | None
) -> None:
    part.path.write_bytes(b"x" * 1000)
    if note is not None:
        (tmp_path / f"{NAME}.part.json").write_text(note)
    get(server, part)
    assert part.path.read_bytes() == CONTENT
    assert ranges(server) == [None]


def test_the_origin_is_noted_before_the_first_byte_is_written(server: Server, part: Part) -> None:
    noted = []
    download(f"{server.url}/{NAME}", part, SIZE, gained=lambda _: noted.append(part.version))
    file = server.files[NAME]
    assert noted[0] == Version(f"{server.url}/{NAME}", SIZE, file.etag, file.modified)


def test_what_was_gained_is_in_the_file_when_it_is_told(server: Server, part: Part) -> None:
    told = []
    server.put(NAME, CONTENT[: CHUNK + 1000])  # ends with less than a file's buffer
    download(
        f"{server.url}/{NAME}",
        part,
        CHUNK + 1000,
        gained=lambda count: told.append((count, part.path.stat().st_size)),
    )
    assert [there for _, there in told] == np.cumsum([count for count, _ in told]).tolist()
    assert max(count for count, _ in told) <= CHUNK


def test_a_stop_ends_it_after_the_chunk_and_keeps_the_part(server: Server, part: Part) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped):
        download(f"{server.url}/{NAME}", part, SIZE, gained=lambda _: stop.set(), stop=stop)
    assert part.bytes == CHUNK
    get(server, part)
    assert part.path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={CHUNK}-"


def test_a_stop_ends_a_pause(server: Server, part: Part) -> None:
    stop = threading.Event()
    server.fail_always(NAME, Fault(status=503, gate=lambda _: stop.set()))
    stop.set()
    with pytest.raises(Stopped):
        download(f"{server.url}/{NAME}", part, SIZE, stop=stop, pauses=(3600,))


def test_finishing_leaves_the_file_and_nothing_beside_it(
    server: Server, part: Part, tmp_path: Path
) -> None:
    get(server, part)
    part.finish(tmp_path / NAME)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_the_note_is_json_that_a_person_can_read(
    server: Server, part: Part, tmp_path: Path
) -> None:
    begin(server, part)
    note = json.loads((tmp_path / f"{NAME}.part.json").read_text())
    assert note["bytes"] == SIZE and note["url"].endswith(NAME)


def test_the_size_is_asked_without_receiving_the_file(server: Server) -> None:
    assert remote_size([f"{server.url}/{NAME}"]) == SIZE
    assert server.sent[NAME] == 0


def test_the_size_is_asked_of_each_address_until_one_tells(server: Server) -> None:
    server.put("silent.zip", CONTENT)
    server.fail_always("silent.zip", Fault(length=""))
    addresses = ["http://127.0.0.1:1/a.zip", f"{server.url}/none.zip", f"{server.url}/silent.zip"]
    assert remote_size([*addresses, f"{server.url}/{NAME}"]) == SIZE
    assert remote_size(addresses) is None
