import errno
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from lesion.pipeline.files import (
    copy_file,
    require_room,
    whole_folder,
    write_bytes,
    write_csv,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_folder_takes_its_place_when_the_block_ends_well(tmp_path):
    target = tmp_path / "deep" / "out"
    with whole_folder(target) as part:
        (part / "a").write_text("new")
        assert not target.exists()
    assert (target / "a").read_text() == "new"
    assert names(target.parent) == ["a", "out"]


def test_folder_replaces_an_old_one_with_all_that_was_in_it(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with whole_folder(target) as part:
        (part / "new").touch()
        assert names(target) == ["old"]
    assert names(tmp_path) == ["new", "out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("exists", [True, False])
def test_folder_stays_as_it_was_when_the_block_fails(tmp_path, error, exists):
    target = tmp_path / "out"
    if exists:
        target.mkdir()
        (target / "old").touch()
    before = names(tmp_path)
    with pytest.raises(error), whole_folder(target) as part:
        (part / "new").touch()
        raise error
    assert names(tmp_path) == before


def test_what_a_killed_run_left_does_not_get_into_the_folder(tmp_path):
    target = tmp_path / "out"
    killed = whole_folder(target)
    (killed.__enter__() / "left").touch()
    with whole_folder(target) as part:
        (part / "new").touch()
    assert names(target) == ["new"]


def test_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file"]


def test_file_stays_as_it_was_when_writing_fails(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "text")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_reader_that_has_the_old_file_open_keeps_the_old_content(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old"


def test_json_comes_back_in_its_order_and_ends_with_a_line_break(tmp_path):
    path = tmp_path / "a.json"
    values = {"z": {"b": 0.1, "a": 1}, "a": None}
    write_json(path, values)
    text = path.read_text()
    assert list(json.loads(text)) == ["z", "a"] and json.loads(text) == values
    assert text.endswith("}\n") and text.count("\n") == 7


def test_csv_has_a_header_and_no_index(tmp_path):
    path = tmp_path / "a.csv"
    table = pd.DataFrame({"id": ["x", "y,z"], "value": [0.1, 2.0]}, index=[5, 9])
    write_csv(path, table)
    assert path.read_bytes() == b'id,value\nx,0.1\n"y,z",2.0\n'


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within the block, no file grows beyond so many bytes, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(OSError) as refused, largest_file(5000):
        write_bytes(path, bytes(9000))
    assert refused.value.filename == str(path) and "9.00kB to write" in refused.value.strerror
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [lambda path: path.write_bytes(bytes(9000)), lambda path: None])
def test_a_folder_that_cannot_be_written_is_named_under_its_own_name(tmp_path, write):
    target = tmp_path / "out"
    with pytest.raises(OSError) as refused, whole_folder(target) as part, largest_file(5000):
        write(part / "plain")
        write_bytes(part / "whole", bytes(9000))
    assert Path(refused.value.filename).is_relative_to(target)
    assert names(tmp_path) == []


def test_what_is_in_the_way_is_named_and_not_the_file_that_was_to_replace_it(tmp_path):
    (tmp_path / "out" / "inside").mkdir(parents=True)
    with pytest.raises(OSError) as refused:
        write_bytes(tmp_path / "out", b"")
    assert refused.value.filename == str(tmp_path / "out")
    assert names(tmp_path) == ["inside", "out"]


def test_a_copy_that_cannot_be_written_is_named_and_not_what_was_read(tmp_path):
    (tmp_path / "source").write_bytes(bytes(9000))
    with pytest.raises(OSError) as refused, largest_file(5000):
        copy_file(tmp_path / "source", tmp_path / "copy")
    assert refused.value.filename == str(tmp_path / "copy")


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as missing, whole_folder(tmp_path / "out"):
        (tmp_path / "elsewhere").read_bytes()
    assert missing.value.filename == str(tmp_path / "elsewhere")


def test_room_that_is_not_there_is_missed_before_the_work(tmp_path):
    require_room(tmp_path / "deep" / "out", 1)
    with pytest.raises(OSError, match=r"1\.0YB to write, .* free") as refused:
        require_room(tmp_path / "deep" / "out", 10**24)
    assert (refused.value.errno, names(tmp_path)) == (errno.ENOSPC, [])
