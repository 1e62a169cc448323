import itertools

import numpy as np
import pandas as pd
import pytest

from lesion.formats.splits import SPLITS
from lesion.photos.inventory import COLUMNS, EXCLUDED, KEPT, LEFT_OUT, REJECTED
from lesion.report.data_figure import data_report
from lesion.report.figures import save_figure

pytestmark = pytest.mark.long


def report_table(count: int = 30) -> pd.DataFrame:
    """Images of three splits; the first two are rejected and left out, the third has a twin."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "id": [f"ISIC_{i:07d}" for i in range(count)],
            "split": [SPLITS[min(2, 3 * i // count)] for i in range(count)],
            "state": KEPT,
            "height": rng.integers(500, 900, count).astype(float),
            "width": rng.integers(500, 900, count).astype(float),
            "lesion_share": rng.random(count),
            "brightness": rng.random(count) * 255,
            **{colour: rng.random(count) * 255 for colour in ("red", "green", "blue")},
        }
    ).reindex(columns=COLUMNS)
    text = ["reason", "notes", "twin", "twin_split"]
    table[text] = table[text].astype("str")
    table.loc[0, "state"] = REJECTED
    table.loc[0, ["height", "width", "lesion_share", "brightness", "red", "green", "blue"]] = np.nan
    table.loc[1, ["state", "twin", "twin_split"]] = [LEFT_OUT, f"ISIC_{count - 1:07d}", "test"]
    table.loc[2, "notes"] = "grey; alpha"
    return table


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_counts_of_each_split_say_what_was_rejected_and_left_out():
    shown = [text.strip() for text in texts(data_report(report_table(), "note"))]
    assert {"8, 1 left out, 1 rejected", "10"} <= set(shown)


def test_findings_count_rejected_twins_and_notes():
    shown = texts(data_report(report_table(), "note"))
    lines = {name: count for count, name in itertools.pairwise(shown)}
    assert lines["rejected"] == lines["near-duplicates"] == lines["… across splits"] == "1"
    assert lines["groups: no patients are known"] == "0"
    assert lines["grey"] == lines["alpha"] == lines["… left out of training"] == "1"


def test_excluded_images_are_counted_where_there_are_some():
    table = report_table()
    assert "excluded from training" not in texts(data_report(table, "note"))
    table.loc[3:4, "state"] = EXCLUDED
    shown = texts(data_report(table, "note"))
    assert "6, 1 left out, 1 rejected, 2 excluded" in [text.strip() for text in shown]
    assert shown[shown.index("excluded from training") - 1] == "2"


def test_findings_count_groups_where_they_are_known():
    table = report_table().assign(group=["a", "b", ""] * 10)
    shown = texts(data_report(table, "note"))
    assert dict((name, count) for count, name in itertools.pairwise(shown))["groups"] == "2"


def test_equal_tables_give_equal_bytes_and_others_do_not(tmp_path):
    tables = [report_table(), report_table(), report_table(33)]
    for i, table in enumerate(tables):
        save_figure(data_report(table, "note"), tmp_path / f"{i}.png")
    first, second, other = ((tmp_path / f"{i}.png").read_bytes() for i in range(3))
    assert first == second != other


@pytest.mark.parametrize("missing", SPLITS)
def test_a_split_without_images_is_drawn_too(tmp_path, missing):
    table = report_table()
    save_figure(data_report(table[table["split"] != missing], "note"), tmp_path / "data.png")
    assert (tmp_path / "data.png").stat().st_size > 10_000


def test_axes_have_labels_with_units():
    figure = data_report(report_table(), "note")
    titles = {axes.get_title() for axes in figure.axes}
    assert titles == {"Images", "Lesion", "Size", "Brightness", "Mean colour", "Findings"}
    for axes in figure.axes:
        if axes.get_title() not in ("Images", "Findings"):
            assert axes.get_xlabel() and axes.get_ylabel()
