"""The addresses, as programs use and misuse them: over a real connection."""

import base64
import io
import json
import re
import select
import shlex
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
import requests
from PIL import Image

from lesion.photos.images import KINDS, encode_mask
from lesion.pipeline.errors import ImageError
from lesion.prediction.measures import Measures
from lesion.prediction.segmenter import Segmentation, Segmenter
from lesion.serving.answers import Answer
from lesion.serving.doors import TOLD
from lesion.serving.limits import Limits
from lesion.synthetic import lesion_image
from picture_files import encoded, exif, huge_png, jpeg, png, stored
from project import ROOT, environment, wait_for
from served import connected, evaluated, served, started
from small_model import write_model

pytestmark = pytest.mark.long

UPRIGHT = lesion_image(3, 90, 130)[0]
FILES = {kind: encoded(Image.fromarray(UPRIGHT), kind) for kind in KINDS} | {
    "turned": jpeg(stored(UPRIGHT, 6), exif=exif(6)),
    "grey": png(UPRIGHT[..., 0]),
    "small": png(UPRIGHT[:1, :1]),
    "narrow": png(UPRIGHT[:, :3]),
}
PHOTOGRAPH = FILES["JPEG"]
LIMITS = Limits(
    body_bytes=200_000,
    held_bytes=500_000,
    waiting=4,
    connections=20,
    head_seconds=1,
    pause_seconds=1,
    body_seconds=2,
    take_seconds=1,
)


def segment(where: str, content: bytes, accept: str = "*/*", **query: object) -> requests.Response:
    return requests.post(
        f"{where}/v1/segment", content, params=query, headers={"Accept": accept}, timeout=60
    )


def error(answer: requests.Response) -> str:
    """What a refusal says: one line in JSON."""
    assert answer.headers["content-type"] == "application/json"
    (line,) = answer.json().values()
    assert line and "\n" not in line and list(answer.json()) == ["error"]
    return line


def lives(where: str) -> bool:
    return segment(where, PHOTOGRAPH, "image/png").status_code == 200


# ---- what is answered ----


@pytest.mark.parametrize("kind", FILES)
def test_a_mask_has_the_bytes_that_the_model_gives_of_any_kind_of_file(where, segmenter, kind):
    answer = segment(where, FILES[kind], "image/png")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert answer.content == encode_mask(segmenter(FILES[kind]).decided.mask)


@pytest.mark.parametrize("kind", FILES)
def test_json_says_what_the_segmentation_does(where, segmenter, kind):
    found = segmenter(FILES[kind])
    answer = Answer.model_validate_json(segment(where, FILES[kind]).content)
    assert (answer.height, answer.width) == found.decided.mask.shape
    assert answer.expected_dice == found.decided.expected_dice
    assert answer.review is found.review
    assert answer.threshold == segmenter.settings.threshold
    assert answer.notes == list(found.square.photograph.notes)
    expected = Measures.of(found).as_row()
    assert answer.measures == {k: None if np.isnan(v) else v for k, v in expected.items()}
    assert answer.probabilities is answer.preview is None


@pytest.mark.parametrize("threshold", [0, 0.5, 1])
def test_a_threshold_is_the_one_that_is_asked_for(where, threshold):
    mask = segment(where, PHOTOGRAPH, "image/png", threshold=threshold)
    marked = cv2.imdecode(np.frombuffer(mask.content, np.uint8), cv2.IMREAD_GRAYSCALE) > 0
    answer = segment(where, PHOTOGRAPH, threshold=threshold).json()
    assert answer["threshold"] == threshold
    assert answer["measures"]["area"] == np.count_nonzero(marked)
    assert (marked.all(), marked.any()) == (threshold == 0, threshold < 1)
    assert answer["measures"]["diameter"] is None or marked.any()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_probabilities_are_those_of_the_part_of_the_photograph_that_they_name(tmp_path, resize):
    segmenter = Segmenter.of_folder(write_model(tmp_path, resize=resize))
    with served(segmenter) as where:
        found = segmenter(PHOTOGRAPH)
        answer = Answer.model_validate_json(segment(where, PHOTOGRAPH, probabilities=1).content)
    map_ = answer.probabilities
    assert (map_.left, map_.top, map_.width, map_.height) == found.square.placement.source
    levels = cv2.imdecode(np.frombuffer(base64.b64decode(map_.png), np.uint8), -1)
    assert levels.dtype == np.uint16
    np.testing.assert_allclose(levels / 65535, found.decided.probabilities, atol=1 / 65535)


@pytest.mark.parametrize(("longest", "size"), [(64, (64, 44)), (2048, (130, 90))])
def test_a_preview_is_upright_and_no_larger_than_the_photograph(where, longest, size):
    content = segment(where, FILES["turned"], preview=longest).json()["preview"]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == size


def test_clients_at_once_each_get_their_own_masks(where, segmenter):
    contents = [jpeg(lesion_image(seed, 48, 64)[0]) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: segment(where, one, "image/png").content, contents * 4))
    expected = [encode_mask(segmenter(content).decided.mask) for content in contents]
    assert answers == expected * 4


def test_masks_are_those_that_evaluate_writes(base):
    """To the bit, of every test image of a pipeline that was run."""
    with started(base / "model") as where:
        for photograph, mask in evaluated(base).values():
            assert segment(where, photograph, "image/png").content == mask
    assert len(evaluated(base)) == 16


def test_the_model_tells_what_it_is(where, segmenter):
    found = requests.get(f"{where}/v1/model", timeout=30).json()
    assert found["settings"] == segmenter.settings.model_dump()
    assert found["header"]["fingerprint"] == segmenter.header.fingerprint
    assert found["most_bytes"] == 64 * 2**20 and found["most_pixels"] == 100_000_000


def test_health_is_told(where):
    assert requests.get(f"{where}/health", timeout=30).json() == {"status": "ok", "waiting": 0}


def test_the_description_for_programs_has_all_that_is_answered(where):
    found = requests.get(f"{where}/openapi.json", timeout=30).json()
    assert set(found["paths"]) == {"/v1/segment", "/v1/model", "/health"}
    post = found["paths"]["/v1/segment"]["post"]
    assert set(post["responses"]["200"]["content"]) == {"application/json", "image/png"}
    assert {"400", "408", "413", "422", "503"} <= set(post["responses"])
    assert set(found["components"]["schemas"]["Answer"]["required"]) == {
        *("width", "height", "threshold", "expected_dice", "review"),
        *("measures", "outline", "notes"),
    }


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_commands_that_the_documentation_shows_do_what_it_says(where, segmenter, tmp_path):
    text = (ROOT / "docs/app.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ (curl .*)$", text, re.M)
    (tmp_path / "photograph.jpg").write_bytes(PHOTOGRAPH)
    said = []
    for command in commands:
        command = command.replace("http://127.0.0.1:8000", where)
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment(), capture_output=True, check=True
        )
        said.append(done.stdout)
    mask = (tmp_path / "mask.png").read_bytes()
    assert mask == encode_mask(segmenter(PHOTOGRAPH).decided.mask)
    assert [list(json.loads(one)) for one in said[1:]] == [
        list(Answer.model_fields),
        ["header", "settings", "most_bytes", "most_pixels", "samples"],
        ["status", "waiting"],
    ]


PAGES = ("/", "/docs", "/page.css", "/page.js", "/probabilities.js", "/saving.js", "/sending.js")


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_no_other_host_and_no_script_or_style_of_their_own(where, page):
    text = requests.get(f"{where}{page}", timeout=30).text
    assert set(re.findall(r"https?://[^/\s]+", text)) <= {"http://127.0.0.1:8000"}  # of examples
    assert "url(" not in text
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert [link for link in links if not re.match(r"/(?!/)|data:", link)] == []
    assert not re.search(r"<style|<script>| style=", text)


def test_samples_are_photographs_that_can_be_segmented(where):
    count = requests.get(f"{where}/v1/model", timeout=30).json()["samples"]
    for number in range(count):
        drawing = requests.get(f"{where}/samples/{number}.jpg", timeout=60)
        assert segment(where, drawing.content).json()["width"] == 768
    assert requests.get(f"{where}/samples/{count}.jpg", timeout=30).status_code == 404


@pytest.mark.parametrize("path", ["/", "/page.js", "/v1/model", "/nowhere", "/v1/segment"])
def test_browsers_are_told_to_load_nothing_from_elsewhere(where, path):
    headers = requests.get(f"{where}{path}", timeout=30).headers
    assert "server" not in headers
    for name in set(TOLD) - {"Cache-Control"}:
        assert headers[name] == TOLD[name]
    assert headers["Cache-Control"] in ("no-store", "no-cache")


# ---- what is refused ----


BAD = {
    "nothing": (b"", 400, "empty body"),
    "no image": (b"<svg/>", 422, "not an image"),
    "words": ("Grüße\n".encode() * 100, 422, "not an image"),
    "half a JPEG": (PHOTOGRAPH[: len(PHOTOGRAPH) // 2], 422, "expected a whole JPEG"),
    "half a PNG": (FILES["PNG"][:-20], 422, "IEND"),
    "many pixels": (huge_png(20_000, 20_000), 422, "20000×20000 pixels; expected at most"),
    "no picture": (b"\xff\xd8\xff\xd9", 422, "expected a whole JPEG"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_body_that_is_no_photograph_is_refused_in_one_line(where, kind):
    content, status, words = BAD[kind]
    answer = segment(where, content)
    assert answer.status_code == status
    assert words in error(answer)
    assert lives(where)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("threshold=1.5", "threshold: found '1.5'; should be less than or equal to 1"),
        ("threshold=-1", "threshold"),
        ("threshold=nan", "threshold"),
        ("threshold=high", "threshold"),
        ("preview=100000", "preview"),
        ("probabilities=perhaps", "probabilities"),
    ],
)
def test_a_wrong_option_is_named(where, query, words):
    answer = requests.post(f"{where}/v1/segment?{query}", PHOTOGRAPH, timeout=30)
    assert answer.status_code == 400
    assert words in error(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/segment", 405), ("POST", "/health", 405), ("GET", "/../secret", 404)],
)
def test_other_addresses_are_refused_by_name(where, method, path, status):
    answer = requests.request(method, where + path, timeout=30)
    assert answer.status_code == status
    assert method in error(answer)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("[::1", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("192.168.1.7:8000", 200),
        ("lab.example:8000", 200),
    ],
)
def test_only_names_that_a_page_elsewhere_cannot_take_are_answered(segmenter, host, status):
    """Else such a page could have its own name mean this machine (DNS rebinding)."""
    with served(segmenter, names=["lab.example"]) as where:
        answer = requests.get(f"{where}/health", headers={"Host": host}, timeout=30)
        assert answer.status_code == status
        if status != 200:
            assert "--name" in error(answer)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
def test_pages_of_other_sites_are_refused_and_told_nothing(where, origin):
    answer = requests.post(
        f"{where}/v1/segment", PHOTOGRAPH, headers={"Origin": origin}, timeout=30
    )
    assert answer.status_code == 403 and "this server" in error(answer)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_servers_own_page_may_ask(where):
    answer = requests.post(f"{where}/v1/segment", PHOTOGRAPH, headers={"Origin": where}, timeout=30)
    assert answer.status_code == 200


# ---- limits ----


@pytest.fixture(scope="module")
def narrow(segmenter: Segmenter) -> Iterator[str]:
    """A server that gives up soon."""
    with served(segmenter, LIMITS) as address:
        yield address


def head(where: str, *lines: str) -> bytes:
    host = urlsplit(where).netloc
    return "\r\n".join(["POST /v1/segment HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def received(connection: socket.socket) -> bytes:
    """All that comes till the other side closes, or resets what it would not wait for."""
    found = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            found += part
    return found


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 50_000):
        yield bytes(50_000)


@pytest.mark.parametrize("size", [200_001, 5_000_000])
def test_a_body_too_large_by_its_head_is_refused_before_it_is_read(narrow, size):
    with connected(narrow) as connection:
        connection.sendall(head(narrow, f"Content-Length: {size}", "Connection: close"))
        found = received(connection)
    assert found.startswith(b"HTTP/1.1 413 ")
    assert f"found {size:,} bytes; expected at most 200,000".encode() in found
    assert lives(narrow)


@pytest.mark.parametrize("body", [bytes(5_000_000), chunks(5_000_000)], ids=["told", "in chunks"])
def test_whoever_sends_too_much_all_the_same_learns_why(narrow, body):
    answer = requests.post(f"{narrow}/v1/segment", body, timeout=30)
    assert answer.status_code == 413
    assert "expected at most 200,000" in error(answer)
    assert lives(narrow)


def test_a_sender_who_pauses_is_told_so_and_one_who_trickles_too(narrow):
    with connected(narrow) as connection:
        connection.sendall(head(narrow, "Content-Length: 1000", "Connection: close") + b"begin")
        assert received(connection).startswith(b"HTTP/1.1 408 ")
    with connected(narrow) as connection:
        connection.sendall(head(narrow, "Content-Length: 1000", "Connection: close"))
        found = received_while_dripping(connection)
    assert found == b"" or found.startswith(b"HTTP/1.1 408 ")
    assert lives(narrow)


def received_while_dripping(connection: socket.socket) -> bytes:
    """What the server says to somebody who goes on sending, slowly."""
    stop = threading.Event()
    trickle = threading.Thread(target=drip, args=(connection, stop))
    trickle.start()
    found = received(connection)
    stop.set()
    trickle.join()
    return found


def drip(connection: socket.socket, stop: threading.Event) -> None:
    """Sends a byte now and then, till it is told to stop or nobody takes it."""
    while not stop.wait(0.2):
        try:
            connection.sendall(b"x")
        except OSError:
            return


@pytest.mark.parametrize("begin", [b"", b"POST /v1/seg", b"GET /health HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_that_does_not_come_closes_the_connection(narrow, begin):
    with connected(narrow) as connection:
        connection.sendall(begin)
        assert received(connection) == b""
    with connected(narrow) as connection:
        connection.sendall(begin)
        found = received_while_dripping(connection)
    assert found == b"" or found.startswith(b"HTTP/1.1 400 ")
    assert lives(narrow)


def test_an_answer_that_nobody_takes_is_waited_for_no_longer(narrow):
    ask = f"GET /page.js HTTP/1.1\r\nHost: {urlsplit(narrow).netloc}\r\n\r\n".encode()
    with connected(narrow) as connection:
        connection.setblocking(False)
        with suppress(BlockingIOError):
            while True:  # till the server has stopped to read, too
                connection.send(ask)
        ended = select.poll()
        ended.register(connection, 0)  # tells nothing but the connection's end
        assert ended.poll(30_000)
    assert lives(narrow)


def test_what_is_no_http_is_refused_in_one_line(narrow):
    with connected(narrow) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")  # as a browser begins https
        found = received(connection)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert json.loads(found.split(b"\r\n\r\n")[1])["error"].startswith("Invalid HTTP request")
    assert lives(narrow)


@pytest.mark.parametrize("sent", [0, 300])
def test_a_connection_that_is_cut_costs_nothing_more(narrow, sent):
    for _ in range(5):
        with connected(narrow) as connection:
            connection.sendall(head(narrow, f"Content-Length: {len(PHOTOGRAPH)}"))
            connection.sendall(PHOTOGRAPH[:sent])
            # No farewell: the connection is reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert lives(narrow)
    wait_for(lambda: requests.get(f"{narrow}/health", timeout=30).json()["waiting"] == 0, 30, 0.1)


def test_connections_beyond_the_limit_are_closed_and_the_others_go_on(segmenter):
    with served(segmenter, Limits(connections=20)) as where, connected(where) as first:
        first.sendall(head(where, f"Content-Length: {len(PHOTOGRAPH)}", "Connection: close"))
        others = [connected(where) for _ in range(30)]
        assert sum(map(closed, others)) == 11
        first.sendall(PHOTOGRAPH)
        assert received(first).startswith(b"HTTP/1.1 200 ")
        for other in others:
            other.close()
        wait_for(lambda: lives(where), 30, 0.1)


def closed(connection: socket.socket) -> bool:
    connection.settimeout(0.5)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


class Slow(Segmenter):
    """Waits at each pass till it may go on."""

    gate = threading.Event()

    def several(
        self, contents: Sequence[bytes], thresholds: Sequence[float | None] = ()
    ) -> Iterator[Segmentation | ImageError]:
        assert self.gate.wait(60)
        yield from super().several(contents, thresholds)


def test_too_many_at_once_are_asked_to_come_again_and_all_others_are_answered(tmp_path):
    segmenter = Slow.of_folder(write_model(tmp_path))
    with served(segmenter, LIMITS) as where, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(segment, where, PHOTOGRAPH) for _ in range(8)]
        wait_for(lambda: sum(answer.done() for answer in answers) == 4, 30, 0.05)
        segmenter.gate.set()
        found = [answer.result() for answer in answers]
        refused = [answer for answer in found if answer.status_code == 503]
        assert sorted(answer.status_code for answer in found) == [200] * 4 + [503] * 4
        for answer in refused:
            assert int(answer.headers["Retry-After"]) >= 1
            assert "4 photographs wait already; wait a moment" in error(answer)
        assert lives(where)


def test_bodies_share_an_allowance_of_memory_which_comes_back(narrow):
    head_of = head(narrow, "Content-Length: 190000", "Connection: close")
    senders = [connected(narrow) for _ in range(3)]
    for sender in senders:
        sender.sendall(head_of + bytes(180_000))
    answers = [received(sender) for sender in senders]
    for sender in senders:
        sender.close()
    assert sorted(answer.split()[1] for answer in answers) == [b"408", b"408", b"503"]
    assert lives(narrow)
