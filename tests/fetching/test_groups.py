import pytest
from pydantic import ValidationError

from lesion.fetching.groups import Groups, find_groups
from lesion.pipeline.errors import InputError

IDS = [f"ISIC_{number}" for number in range(8)]
TABLE = """isic_id,patient_id,lesion_id,age
ISIC_0,IP_1,IL_1,50
ISIC_1,IP_1,IL_2,50
ISIC_2,,IL_2,
ISIC_3,IP_2,,
ISIC_4,,,
ISIC_5.jpg,IP_2,IL_9,
ISIC_9,IP_1,IL_1,
"""


def together(groups: dict[str, str]) -> set[frozenset[str]]:
    return {
        frozenset(name for name in groups if groups[name] == group) for group in groups.values()
    }


def write(folder, text=TABLE, name="metadata.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


WHOLE = {frozenset({"ISIC_0", "ISIC_1", "ISIC_2"}), frozenset({"ISIC_3", "ISIC_5"})}


def test_the_isic_archives_table_is_understood_without_being_asked_for(tmp_path):
    assert together(find_groups(IDS, None, write(tmp_path))) == WHOLE


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "isic_id,age\nISIC_0,50\n", "", "isic_id,patient_id\n"]
)
def test_another_table_of_that_name_is_none(text, tmp_path):
    assert find_groups(IDS, None, write(tmp_path, text)) == {}
    assert find_groups(IDS, None, tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["patient_id"], {frozenset({"ISIC_0", "ISIC_1"}), frozenset({"ISIC_3", "ISIC_5"})}),
        (
            ["lesion_id"],
            {frozenset({"ISIC_0"}), frozenset({"ISIC_1", "ISIC_2"}), frozenset({"ISIC_5"})},
        ),
        (["lesion_id", "patient_id"], WHOLE),
    ],
)
def test_images_that_share_a_value_of_any_column_are_together_by_any_chain(
    columns, expected, tmp_path
):
    rule = Groups(table="metadata.csv", columns=columns)
    assert together(find_groups(IDS, rule, write(tmp_path))) == expected


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    header, *rows = TABLE.splitlines()
    turned = "\n".join([header, *rows[::-1]]) + "\n"
    rule = Groups(table="metadata.csv")
    forwards = find_groups(IDS, rule, write(tmp_path))
    assert together(find_groups(IDS, rule, write(tmp_path, turned))) == together(forwards)


@pytest.mark.parametrize("unknown", ["", "NaN", "unknown", " None "])
def test_what_is_not_known_joins_nothing(unknown, tmp_path):
    text = f"isic_id,patient_id\nISIC_0,{unknown}\nISIC_1,{unknown}\n"
    rule = Groups(table="metadata.csv", columns=["patient_id"])
    assert find_groups(IDS, rule, write(tmp_path, text)) == {}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^P(\d+)_", {"P1_a": "1", "P1_b": "1", "P22_a": "22"}),
        (r"^P\d+", {"P1_a": "P1", "P1_b": "P1", "P22_a": "P22"}),
        (r"_(a)?$", {"P1_a": "a", "P22_a": "a"}),
        (r"^Q", {}),
    ],
)
def test_a_pattern_tells_groups_by_names(pattern, expected, tmp_path):
    names = ["P1_a", "P1_b", "P22_a", "other"]
    assert find_groups(names, Groups(pattern=pattern), tmp_path) == expected


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Groups(table="other.csv"), "other.csv: not found"),
        (Groups(table="metadata.csv", id="image"), "no column image; found isic_id"),
        (Groups(table="metadata.csv", columns=["visit"]), "no column visit"),
    ],
)
def test_a_rule_that_the_files_do_not_fit_is_one_line(rule, words, tmp_path):
    with pytest.raises(InputError) as error:
        find_groups(IDS, rule, write(tmp_path))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"isic_id,patient_id\nISIC_0,\xff\n", b"\xff\xfea"])
def test_what_is_no_text_is_told(content, tmp_path):
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(InputError, match="no CSV in UTF-8"):
        find_groups(IDS, Groups(table="metadata.csv"), tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"table": "a.csv", "pattern": "x"},
        {"pattern": "("},
        {"table": "../a.csv"},
        {"table": "/a.csv"},
        {"pattern": "x", "unknown": 1},
    ],
)
def test_an_entry_that_says_nothing_or_two_things_is_refused(values):
    with pytest.raises(ValidationError):
        Groups(**values)
