"""Text is read and written as UTF-8, whatever the locale: every place says so."""

import ast
from pathlib import Path

import pytest

from project import ROOT

FILES = sorted(
    path for folder in ("stages", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def silent(source: str) -> list[int]:
    """The lines of calls that open text, or read what a process says, in the locale's encoding."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if opens_text(call) and not says_encoding(call)]


def opens_text(call: ast.Call) -> bool:
    named = {word.arg: word.value for word in call.keywords}
    match call.func:
        case ast.Attribute(attr="read_text" | "write_text"):
            return True
        case ast.Name(id="open"):
            return is_text(named.get("mode") or (call.args[1:] or [ast.Constant("r")])[0])
        case ast.Attribute(attr="open"):  # of a path, not of an archive or an image
            mode = named.get("mode") or (call.args or [ast.Constant("r")])[0]
            return isinstance(mode, ast.Constant) and is_text(mode)
        case _:
            return any(word in named for word in ("text", "universal_newlines"))


def is_text(mode: ast.expr) -> bool:
    value = mode.value if isinstance(mode, ast.Constant) else "r"
    return isinstance(value, str) and set(value) <= set("rwaxt+")


def says_encoding(call: ast.Call) -> bool:
    return any(word.arg == "encoding" for word in call.keywords)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_text_is_opened_with_its_encoding(path: Path) -> None:
    assert silent(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text(words)", True),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("open(path, 'a')", True),
        ("path.open()", True),
        ("path.open('w')", True),
        ("path.open('xb')", False),
        ("Image.open(file)", False),
        ("archive.open('name.txt')", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, encoding='utf-8')", False),
    ],
)
def test_what_leaves_its_encoding_open_is_found(code, found):
    assert bool(silent(code)) == found
