import errno
import os

import pytest

from lesion.pipeline.errors import of_file

# What is no fault of a file: of a server, of a process, or of the program.
OTHERS = ("ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EPIPE", "EBADF", "EINVAL", "ESRCH", "ECHILD")
FILES = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOENT", "EISDIR", "EMFILE")


def error(name: str, *filename: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), *filename)


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_with_a_file_is_said_with_what_to_do(name):
    line = of_file(error(name, "arrays/index.csv"))
    assert line.startswith(f"arrays/index.csv: {os.strerror(getattr(errno, name))}; ")
    assert "\n" not in line and len(line.split("; ", 1)[1]) > 10


@pytest.mark.parametrize("name", OTHERS)
def test_of_a_bug_or_a_server_nothing_is_said_so_that_its_traceback_is_seen(name):
    assert of_file(error(name, "arrays")) is None and of_file(error(name)) is None


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE"])
def test_what_only_files_have_needs_no_name(name):
    assert of_file(error(name)).startswith(os.strerror(getattr(errno, name)))


@pytest.mark.parametrize("name", ["EPERM", "ENOENT", "EACCES", "EISDIR"])
def test_an_error_without_a_file_is_of_none(name):
    assert of_file(error(name)) is None


def test_an_error_without_a_number_is_of_no_file():
    assert of_file(OSError("encoder error")) is None
