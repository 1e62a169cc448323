import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lesion.archives import find_archives
from lesion.datasets import Archive, Dataset, fetch, load_datasets
from lesion.errors import InputError

FILES = {"a.zip": b"a" * 5000, "b.zip": b"b" * 7000}
ENTRY = """
small:
  title: "Small"
  licence: CC0-1.0
  cite: ["Somebody"]
  base_url: https://example.org/files/
  archives:
    - {{name: a.zip, images: 1, bytes: 10, sha256: {sha}}}
    - {{name: b.zip, images: 1, bytes: 10, sha256: {sha}}}
""".format(sha="0123456789abcdef" * 4)


class Server:
    """Serves `files`, and keeps the paths that were asked for in `requests`."""

    def __init__(self) -> None:
        self.files, self.requests, self.cut = dict(FILES), [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                content = outer.files.get(self.path.removeprefix("/files/"))
                if content is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) - outer.cut])

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def dataset(self, slash: str = "/") -> Dataset:
        archives = [
            Archive(name=name, images=1, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in FILES.items()
        ]
        return Dataset(
            title="Small",
            licence="CC0-1.0",
            cite=["Somebody"],
            base_url=f"http://127.0.0.1:{self.http.server_port}/files{slash}",
            archives=archives,
        )


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def refusal(server: Server, folder: Path) -> str:
    with pytest.raises(InputError) as error:
        fetch(server.dataset(), folder)
    return str(error.value)


def test_projects_registry_is_valid_and_has_every_archive_under_its_official_name(root, tmp_path):
    known = load_datasets(root / "datasets.yaml")
    archives = known["isic2018"].archives
    for archive in archives:
        (tmp_path / archive.name).touch()
    assert set(find_archives(tmp_path)) == {"train", "validation", "test"}
    assert [archive.images for archive in archives] == [2594, 2594, 100, 100, 1000, 1000]
    for dataset in known.values():
        assert dataset.base_url.scheme == "https"
        for unique in ("name", "sha256"):
            values = [getattr(archive, unique) for archive in dataset.archives]
            assert len(set(values)) == len(values)


def test_a_right_entry_is_taken(tmp_path):
    path = tmp_path / "datasets.yaml"
    path.write_text(ENTRY)
    (dataset,) = load_datasets(path).values()
    assert [archive.name for archive in dataset.archives] == ["a.zip", "b.zip"]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("licence:", "license:", "licence"),
        ("images: 1", "image: 1", "images"),
        ("title:", "note: x\n  title:", "note"),
        ("0123456789abcdef", "0123456789ABCDEF", "sha256"),
        ("0123456789abcdef", "0123456789abcde", "sha256"),
        ("0123456789abcdef", "0123456789abcdeg", "sha256"),
        ("bytes: 10", "bytes: 0", "bytes"),
        ("bytes: 10", "bytes: many", "bytes"),
        ("images: 1", "images: -1", "images"),
        ("a.zip", "../a.zip", "name"),
        ("a.zip", "/a.zip", "name"),
        ("a.zip", "a.tar", "name"),
        ("https://example.org/files/", "example", "base_url"),
        ("https://", "file://", "base_url"),
        ('["Somebody"]', "Somebody", "cite"),
        ("    - {name: b", "    # {name: b", "archives"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_and_place(tmp_path, old, new, named):
    path = tmp_path / "datasets.yaml"
    assert old in ENTRY
    path.write_text(ENTRY.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        load_datasets(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and named in message


def test_a_wrong_entry_is_refused_with_the_name_of_its_data_set(tmp_path):
    path = tmp_path / "datasets.yaml"
    path.write_text(ENTRY + ENTRY.replace("small:", "large:").replace("bytes: 10", "bytes: 0"))
    with pytest.raises(InputError, match=r"large\W+archives\W+0\W+bytes: found 0"):
        load_datasets(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"- 1", b"small:", b"small: 3", b"a: [", b"a: 1\na: 2", b"\xe9: 1", b"a: 2021-13-45"],
)
def test_what_is_no_mapping_of_data_sets_is_refused(tmp_path, content):
    path = tmp_path / "datasets.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_datasets(path)
    assert str(path) in str(error.value)


def test_a_missing_registry_is_named(tmp_path):
    with pytest.raises(InputError, match=r"No such file.*expected in the project"):
        load_datasets(tmp_path / "datasets.yaml")


@pytest.mark.parametrize("slash", ["", "/"])
def test_archives_are_fetched_whole_and_nothing_else_is_left(server, tmp_path, slash):
    folder = tmp_path / "downloads" / "small"
    paths = fetch(server.dataset(slash), folder)
    assert [path.read_bytes() for path in paths] == list(FILES.values())
    assert sorted(folder.iterdir()) == sorted(paths)
    assert server.requests == ["/files/a.zip", "/files/b.zip"]


def test_what_is_there_already_is_not_fetched_again(server, tmp_path):
    fetch(server.dataset(), tmp_path)
    server.requests.clear()
    fetch(server.dataset(), tmp_path)
    assert server.requests == []
    (tmp_path / "b.zip").unlink()
    fetch(server.dataset(), tmp_path)
    assert server.requests == ["/files/b.zip"]


@pytest.mark.parametrize("content", [b"x" * 5000, b"a" * 4999, b"", b"a" * 5001])
def test_a_server_that_gives_another_file_is_refused_and_no_file_is_left(server, tmp_path, content):
    server.files["a.zip"] = content
    message = refusal(server, tmp_path)
    assert "/files/a.zip" in message
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_broken_off_is_refused_and_no_file_is_left(server, tmp_path):
    server.cut = 1000
    assert "/files/a.zip" in refusal(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_server_does_not_have_is_refused_with_its_address(server, tmp_path):
    del server.files["b.zip"]
    message = refusal(server, tmp_path)
    assert "/files/b.zip" in message and "404" in message and str(tmp_path) in message
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_server_that_does_not_answer_is_refused(server, tmp_path):
    server.http.shutdown()
    server.http.server_close()
    assert "/files/a.zip: could not be downloaded" in refusal(server, tmp_path)


@pytest.mark.parametrize("size", [0, 4999, 5001])
def test_a_file_of_the_wrong_size_is_refused_and_left_as_it_is(server, tmp_path, size):
    (tmp_path / "a.zip").write_bytes(b"a" * size)
    message = refusal(server, tmp_path)
    assert f"a.zip: found {size} bytes; expected 5000" in message
    assert (tmp_path / "a.zip").stat().st_size == size
    assert server.requests == []


def test_a_file_of_the_right_size_and_other_content_is_not_used(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"x" * 5000)
    try:
        fetch(server.dataset(), tmp_path)
    except InputError:
        return
    assert (tmp_path / "a.zip").read_bytes() == FILES["a.zip"]
