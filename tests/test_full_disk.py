"""A full disk costs a stage one line, leaves nothing half, and with room again it goes on."""

import pytest

from full_disk import CASES, PLACES, namespace, outcomes

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(namespace() is None, reason="this user may not mount"),
]

QUICK = ("download", "download of a sample", "preprocess", "encoder with weights", "evaluate")


@pytest.mark.slow
def test_quick_stages_hold_with_little_room_or_none():
    found = outcomes("--free", "0", "6", "--cases", *QUICK)
    assert len(found) == 2 * len(QUICK)
    assert [row for row in found if row.faults] == []
    assert all(" free" in row.said and "; make room " in row.said for row in found if row.free == 0)


@pytest.mark.slow
def test_every_stage_holds_at_its_start_in_its_middle_and_at_its_last_write():
    found = outcomes()
    assert {row.case for row in found} == {case.name for case in CASES}
    assert {row.place for row in found if row.case == "train"} == set(PLACES)
    assert [row for row in found if row.faults] == []
