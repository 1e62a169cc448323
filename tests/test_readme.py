"""What the README says of the sample is what metrics/ hold."""

import json

import pytest

COLUMNS = {
    "Dice": "dice",
    "IoU": "iou",
    "thresholded IoU": "thresholded_iou",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "pooled Dice": "pooled_dice",
    "pooled IoU": "pooled_iou",
    "images": "images",
}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_table_of_the_synthetic_sample_is_that_of_the_committed_metrics(root, split):
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (root / "README.md").read_text().splitlines()
        if line.startswith("|")
    ]
    start = next(i for i, cells in enumerate(lines) if cells[0] == "synthetic")
    header, rows = lines[start][1:], {cells[0]: cells[1:] for cells in lines[start + 2 : start + 4]}
    assert header == list(COLUMNS)
    scores = json.loads((root / "metrics/evaluation.json").read_text())
    assert scores["origin"] == "synthetic"
    for name, shown in zip(header, rows[split], strict=True):
        value = scores[split][COLUMNS[name]]
        assert shown == (str(value) if name == "images" else f"{value:.3f}")


def test_pictures_that_it_shows_are_there(root):
    text = (root / "README.md").read_text()
    pictures = [part.split(")")[0] for part in text.split("](docs/images/")[1:]]
    assert pictures
    for name in pictures:
        assert (root / "docs/images" / name).read_bytes().startswith(b"\x89PNG")
