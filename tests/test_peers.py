"""The benchmark that puts this project beside others: its clock, its sums, its contenders."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from project import ROOT, SHARED

BENCHMARKS = ROOT / "benchmarks"
CONTENDERS = BENCHMARKS / "contenders"

# Its network is right at once: what is red is lesion.
CONTENDER = """
import race, torch
from PIL import Image
import numpy as np

race.MARKS = (1, 3)
one = race.Race()
model = torch.nn.Conv2d(3, 1, 1)
with torch.no_grad():
    model.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
    model.bias.fill_(-0.5)
while one.goes_on(model, 4):
    pass
read = lambda path: torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).float() / 255
one.end(model, read, lambda images: torch.sigmoid(100 * model(images)), batch=1)
"""


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    return peers


@pytest.fixture
def peers_page(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers_page

    return peers_page


@pytest.fixture
def split(tmp_path) -> Path:
    """Two training and three test images of two sizes, red in the left half, which is lesion."""
    for name, count in (("train", 2), ("validation", 1), ("test", 3)):
        for kind in ("images", "masks"):
            (tmp_path / name / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((8, 10 + 2 * number), np.uint8)
            mask[:, : mask.shape[1] // 2] = 255
            image = np.dstack([mask, 0 * mask, 0 * mask])
            Image.fromarray(mask).save(tmp_path / name / "masks" / f"{number}.png")
            Image.fromarray(image).save(tmp_path / name / "images" / f"{number}.png")
    return tmp_path


@pytest.mark.long
def test_a_contenders_weights_of_each_mark_are_scored_at_the_original_size(peers, split):
    script, out = split / "contender.py", split / "out"
    out.mkdir()
    script.write_text(CONTENDER, encoding="utf-8")
    command = [sys.executable, str(script), str(split), str(out), "--minutes=0.034", "--seed=3"]
    environ = {"PYTHONPATH": str(CONTENDERS), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environ, check=True)
    race = json.loads((out / "race.json").read_text(encoding="utf-8"))
    # The last mark within the time that it has.
    assert sorted(path.name for path in out.iterdir()) == ["1", "2", "race.json"]
    assert race["images"] == 4 * race["steps"] and race["train_images"] == 2
    assert 0 < race["first_step"] < 2 <= race["seconds"]
    masks = split / "test" / "masks"
    assert peers.score(out / "2", masks) == {"dice": 1, "iou": 1, "thresholded_iou": 1}
    wrong = np.array(Image.open(out / "2/0_segmentation.png"))
    Image.fromarray(255 - wrong).save(out / "2/0_segmentation.png")
    assert peers.score(out / "2", masks)["dice"] == pytest.approx(2 / 3)
    (out / "2/0_segmentation.png").unlink()
    with pytest.raises(FileNotFoundError):
        peers.score(out / "2", masks)


def test_time_to_a_score_lies_between_marks_and_never_before_the_first(peers_page):
    points = [(60.0, 0.7), (120.0, 0.8), (180.0, 0.78), (300.0, 0.9)]
    assert peers_page.seconds_to(points, 0.75, between=True) == pytest.approx(90)
    assert peers_page.seconds_to(points, 0.75, between=False) == 120
    assert peers_page.seconds_to(points, 0.65, between=True) == 60
    assert peers_page.seconds_to(points, 0.85, between=True) == pytest.approx(
        180 + 120 * 0.07 / 0.12
    )
    assert peers_page.seconds_to(points, 0.95, between=True) is None


def test_a_score_after_minutes_is_the_last_that_was_there_by_then(peers_page):
    points = [(50.0, 0.7), (123.0, 0.8), (330.0, 0.9)]
    assert [peers_page.after(points, m, 0.4) for m in (0.5, 1, 2, 5)] == [None, 0.7, 0.8, 0.8]
    assert [peers_page.after(points, 5, least) for least in (0.4, 0.75)] == [0.8, None]


def test_a_peer_that_was_broken_off_long_before_has_no_score_after_the_minutes(peers_page):
    points = [(100.0, 0.7), (800.0, 0.8)]
    rows = {name: peers_page.row_of_scores(name, [points]) for name in ("this project", "a peer")}
    shown = {name: [row[f"after {m} min"] for m in (15, 45)] for name, row in rows.items()}
    assert shown == {"this project": ["0.8000", "0.8000"], "a peer": ["0.8000", "–"]}


def test_a_figure_that_not_every_seed_has_says_how_many_have_it(peers_page):
    """A median of those that got so far is no median of all."""
    curves = [[(60.0, 0.86), (870.0, 0.88)], [(60.0, 0.7), (500.0, 0.84)]]
    row = peers_page.row_of_scores("a peer", curves)
    assert row["to 0.80, s"] == "217 (60–374)"
    assert row["to 0.85, s"] == "60, 1 of 2"
    assert row["to 0.89, s"] == "–"
    assert row["after 1 min"] == "0.7800 (0.7000–0.8600)"
    assert row["after 15 min"] == "0.8800, 1 of 2"


def test_a_range_whose_ends_are_written_alike_is_left_away(peers_page):
    assert peers_page.cell([0.70001, 0.70004], 4) == "0.7000"
    assert peers_page.cell([0.7, 0.7, 0.7002], 4) == "0.7000 (0.7000–0.7002)"


def test_a_seed_that_all_lengths_have_is_a_curve_and_unscored_learners_have_none(peers_page):
    def run(seconds, dice):
        return {"marks": {str(seconds): {"dice": dice}}}

    results = {
        "long": [run(100, 0.9), run(110, 0.91), run(120, 0.92)],
        "short": [run(50, 0.8), run(60, 0.81)],
        "a peer": [run(70, 0.7)],
        "a share": [{"marks": {}}],
    }
    assert peers_page.curves_of(results, ["short", "long"]) == {
        "this project": [[(50, 0.8), (100, 0.9)], [(60, 0.81), (110, 0.91)]],
        "a peer": [[(70, 0.7)]],
    }


def test_lines_of_code_are_counted_without_text_and_gaps(peers, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""What\n\nit does."""\n\nimport os\n\n# why\nx = [\n    1,\n]\n\nprint(x)\n'
    )
    assert peers.lines_of(script) == 5


def test_tables_go_between_the_pages_marks_and_nowhere_else(peers_page, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- peers -->\nold\n<!-- end of peers -->\nafter\n")
    for written in ("new", "newer \\1"):
        peers_page.into_page(written, page)
        text = f"before\n<!-- peers -->\n\n{written}\n\n<!-- end of peers -->\nafter\n"
        assert page.read_text() == text


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".peers").exists(), reason="wants .peers, which peers.py makes")
@pytest.mark.skipif(not SHARED.exists(), reason="wants the encoder's weights in ../shared")
def test_every_contender_runs_from_files_to_a_table(tmp_path):
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    shutil.copy(ROOT / "docs/benchmarks.md", docs)
    names = ["segmentation-models-pytorch", "MONAI BasicUNet", "torchvision LR-ASPP"]
    command = [sys.executable, "benchmarks/peers.py", "sample", str(tmp_path / "runs")]
    command += ["--minutes=0.6", f"--docs={docs}", "--only", "two-minutes, 1 epoch", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (docs / "benchmarks.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in names)
    assert (docs / "images/peers.png").read_bytes().startswith(b"\x89PNG")
