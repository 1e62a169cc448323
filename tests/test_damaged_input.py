"""No damaged input crashes a stage, and none passes without a word: see docs/damaged-input.md."""

from collections import Counter
from pathlib import Path

import pytest

from damaged_input import (
    CRASHES,
    IDS,
    KINDS,
    NOTED,
    REJECTED,
    ROOT,
    STOPS,
    USED,
    VICTIM,
    Kind,
    page,
    result_of,
)

# In a stage they are not shown, but pytest resets which are.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::UserWarning")]

ALL = [*IDS, "ISIC_0000004", "ISIC_0000005"]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def test_there_are_many_kinds_each_once_with_every_outcome():
    assert len({kind.name for kind in KINDS}) == len(KINDS) > 50
    outcomes = Counter(kind.outcome for kind in KINDS)
    assert outcomes.keys() == {STOPS, REJECTED, NOTED, USED}
    assert all(kind.words for kind in KINDS)
    assert f"what each of {len(KINDS)} kinds of damage gets" in (ROOT / "README.md").read_text()


def test_undamaged_data_is_used_without_a_word():
    result = result_of(Kind("nothing", lambda data: None, False, "", USED, ()))
    assert result.outcome == USED and list(result.kept) == ALL and not result.errors


@every_kind
def test_no_stage_crashes_and_what_is_said_tells_where_and_why(kind):
    result = result_of(kind)
    assert result.outcome != CRASHES, result.text
    assert (result.outcome, result.stage) == (kind.outcome, kind.stage)
    for words in kind.words:
        assert words in result.text
    assert "\n" not in result.text and result.errors == ""


@every_kind
def test_a_stage_that_stops_leaves_nothing_and_other_pairs_are_used_all_the_same(kind):
    result = result_of(kind)
    if kind.outcome == STOPS:
        assert result.text.startswith(f"{kind.stage}: ")
        assert not [name for name in result.left if not name.startswith("metrics")]
    elif kind.outcome == REJECTED:
        assert result.rejected == (kind.victim,)
        assert list(result.kept) == [name for name in ALL if name != VICTIM]
    else:
        expected = [kind.victim if name == VICTIM else name for name in ALL]
        assert result.rejected == () and list(result.kept) == expected


def test_the_page_on_damaged_input_says_what_happens_now(root: Path):
    text = (root / "docs/damaged-input.md").read_text()
    assert text == page(), "python tests/damaged_input.py > docs/damaged-input.md"
