"""Reading params.yaml and datasets.yaml: plain YAML 1.2, and nothing that could mislead or hang."""

from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, ScalarEvent
from ruamel.yaml.nodes import Node

from lesion.pipeline.errors import InputError

MOST = 2**20  # bytes of a file
DEEPEST = 20  # lists and mappings in each other
BITS = 64  # of a whole number; Python may refuse to write larger ones


def read_settings(path: Path, form: str) -> object:
    """What a file says; `form` says, for messages, what its lines are to look like.

    Raises:
        InputError: it is missing, no file, too large, no YAML in UTF-8, or uses what can make it
            another thing than it looks: references, merged mappings, tags, boundless numbers.
    """
    try:
        if not path.is_file() and path.exists():
            raise InputError(f"{path}: no file; expected one in the project's root")
        if (size := path.stat().st_size) > MOST:
            raise InputError(f"{path}: found {size} bytes; expected at most {MOST}")
        yaml = YAML(typ="safe", pure=True)
        yaml.max_depth = DEEPEST
        yaml.Composer = _Plain
        content = yaml.load(path.read_bytes().decode())
        if any(number.bit_length() > BITS for number in _numbers(content)):
            raise ValueError(f"found a number of more than {BITS} bits")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected in the project's root") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise InputError(f"{path}, line {line}: {error.problem}; expected {form}") from None
    # A character, say, that YAML has no place for; AttributeError is ruamel's for some faults.
    except (YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: {error}; expected {form}") from None
    return content


class _Plain(Composer):
    """Takes a file as it stands there, without what YAML has to write one thing as another."""

    def compose_node(self, parent: Node | None, index: object) -> Node:
        event = self.parser.peek_event()
        found = None
        if isinstance(event, AliasEvent) or event.anchor:
            found = "a reference (& or *)"
        elif event.tag:
            found = f"a tag ({event.tag})"
        elif isinstance(event, ScalarEvent) and event.value == "<<" and event.style is None:
            found = "a merged mapping (<<)"
        if found:
            problem = f"found {found}; write out what is meant"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _numbers(pair)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _numbers(item)
