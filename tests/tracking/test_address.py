from pathlib import Path

import pytest

from lesion.pipeline.errors import InputError
from lesion.tracking.address import LONGEST, in_words, redacted, sqlite_file, tracking_address


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's root, while a stage runs in a copy that DVC throws away afterwards."""
    root, copy = tmp_path / "project", tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(root))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "sqlite:///{root}/mlflow.db"),
        (" ", "sqlite:///{root}/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///{root}/mlflow.db"),
        ("sqlite:///./runs/my%20own.db?timeout=3", "sqlite:///{root}/runs/my own.db?timeout=3"),
        ("sqlite+pysqlite:///../beside.db", "sqlite+pysqlite:///{root.parent}/beside.db"),
        ("sqlite:///file:mlflow.db?uri=true", "sqlite+pysqlite:///file:{root}/mlflow.db?uri=true"),
        ("./mlruns", "{root}/mlruns"),
        ("mlruns", "{root}/mlruns"),
        ("file:mlruns", "{root}/mlruns"),
        ("file:./my%20runs", "{root}/my runs"),
        ("file:///elsewhere/mlruns", "/elsewhere/mlruns"),
        ("sqlite:////elsewhere/mlflow.db", "sqlite:////elsewhere/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://server:5000", "http://server:5000"),
        ("postgresql+psycopg://u:p@host/db", "postgresql+psycopg://u:p@host/db"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_a_path_in_an_address_counts_from_the_projects_root(project, monkeypatch, given, expected):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    address = tracking_address()
    assert address == expected.format(root=project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)  # as MLflow does
    assert tracking_address() == address


def test_a_root_with_letters_that_mean_something_in_an_address_gives_its_own_file(
    project, monkeypatch
):
    root = project / "a b%20ü?x#y"
    root.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    assert sqlite_file(tracking_address()) == root / "mlflow.db"


@pytest.mark.parametrize(
    "text",
    [
        "http://user:SECRET@host:5000/path failed",
        "cannot open 'https://user:SECRET@host'",
        "https://SECRET@host",
        "http://user:SE/SECRET@host and more",
        "http://user:p#SECRET@host",
        "http://user:p@SECRET@host",
        "http://user:%40SECRET@host",
        "postgresql+psycopg://user:SECRET@host/db",
        "POSTGRESQL://user:SECRET@host/db",
        "postgresql://user@host/db?password=SECRET&sslmode=require",
        "https://host/path?api_key=SECRET.",
        "one http://a:SECRET@host, another (mysql://b:SECRET@host/db)",
    ],
)
def test_no_password_is_left_in_an_address_wherever_it_stands(text):
    assert "SECRET" in text and "SECRET" not in redacted(text) and "***" in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////srv/a@b/mlflow.db",
        "file:///srv/a@b/mlruns",
        "models:/skin-lesion-unet@champion",
        "http://host:5000/path: no answer (is it there?)",
        "a@b.org",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("address", "quoted"),
    [
        ("http://user:p4ss%40word@host", "login with p4ss@word"),
        ("http://user:p4ss%40word@host", "login with p4ss%40word"),
        ("http://user:p4ss word@host", "http://user:p4ss word@host"),
        ("postgresql://user:p4ss@p4ssword@host/db", "no host p4ssword@host"),
        ("http://user:p4ss/p4ssword@host", "Max retries exceeded with url: /p4ssword@host/api"),
        ("http://host?key=p4ssword", "Max retries exceeded with url: /?key=p4ssword/api"),
        ("postgresql://host/db?password=p4ss@word", "FATAL: p4ss@word"),
    ],
)
def test_the_password_of_the_address_is_not_left_in_what_others_say_either(
    monkeypatch, address, quoted
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert "p4ss" not in redacted(quoted)


def test_a_token_of_the_environment_is_not_left_in_what_others_say(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken\n")
    assert redacted("Invalid header value: 'Bearer t0ken\\n'") == (
        "Invalid header value: 'Bearer ***\\n'"
    )


def test_an_error_is_one_line_and_a_long_one_ends_with_a_sentence():
    assert in_words(ValueError("a\n  b")) == "a b"
    assert in_words(ValueError()) == "ValueError"
    sentence = "This is a sentence that says something. "
    long = in_words(ValueError(sentence * 100))
    assert long.endswith("says something. …") and LONGEST - 50 < len(long) <= LONGEST + 2
    page = in_words(ValueError("<html> " * 1000))
    assert page.endswith("<html> …") and len(page) <= LONGEST + 2


def test_an_error_of_our_own_keeps_its_words_where_one_of_them_is_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:mlflow@host/mlflow")
    assert in_words(InputError("`mlflow runs restore`")) == "`mlflow runs restore`"
