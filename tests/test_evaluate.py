"""The stage evaluate: the official scorer gives the same, and nothing but the images counts."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import baseline
import download
import evaluate
import preprocess
from lesion.formats.arrays import array_path, load_index, load_split
from lesion.formats.header import Header
from lesion.formats.splits import SCORED
from lesion.network.predict import Predictor, probability_maps
from lesion.network.weights import load_model, save_weights
from lesion.parameters.reading import load_params
from lesion.parameters.train import TrainParams
from lesion.photos.archives import ArchiveReader
from lesion.photos.images import encode_mask
from lesion.photos.masks import Reading, decode_mask
from lesion.photos.members import pack
from lesion.pipeline.errors import ImageError, InputError
from lesion.scoring.calibration import calibrated
from lesion.scoring.confidence import NoLesion, expected_dice
from lesion.scoring.originals import Originals
from lesion.scoring.postprocess import Rules
from lesion.synthetic import lesion_image
from lesion.training.batches import Split
from lesion.training.trainer import Trainer
from project import copy_of_stages, environment, set_params

pytestmark = pytest.mark.long

SIDE = 32
SIZES = [(40, 60), (61, 45), (33, 97), (128, 128), (29, 31)]
SCORES = {  # the official scorer's names
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "iou": "jaccard",
    "thresholded_iou": "threshold_jaccard",
    "dice": "dice",
}
TABLES = ("scores", "per_image", "choice", "thresholds", "calibration", "risk_coverage")
RESULTS = ["metrics/evaluation.json", *(f"metrics/{name}.csv" for name in TABLES)]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The stage makes torch deterministic."""
    mode = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(mode)


def drawn(split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask, 8 bit; among the test images, masks that are empty, full and grey."""
    height, width = SIZES[number % len(SIZES)]
    image, mask = lesion_image(1000 * len(split) + number, height, width)
    grey = mask * np.uint8(255)
    if split == "test":
        special = {
            5: np.zeros_like(grey),
            6: np.full_like(grey, 255),
            # What a resampled mask may hold: the scorer counts a pixel from 129 on.
            7: cv2.GaussianBlur(grey, (0, 0), 3),
            8: np.where(mask, np.uint8(129), np.uint8(128)),
        }
        grey = special.get(number, grey)
    return image, grey


def write_data(folder: Path) -> None:
    folder.mkdir()
    for digit, split, name, count in (
        (1, "train", "Training", 16),
        (2, "validation", "Validation", 9),
        (3, "test", "Test", 13),
    ):
        # The official scorer knows ids by their seven digits.
        pairs = {f"ISIC_{digit}{number:06}": drawn(split, number) for number in range(count)}
        pack(
            folder / f"ISIC2018_Task1-2_{name}_Input.zip",
            [
                (f"i/{key}.jpg", cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())
                for key, (image, _) in pairs.items()
            ],
        )
        pack(
            folder / f"ISIC2018_Task1_{name}_GroundTruth.zip",
            [
                (f"m/{key}_segmentation.png", cv2.imencode(".png", mask)[1].tobytes())
                for key, (_, mask) in pairs.items()
            ],
        )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages with a network that was trained for a moment, all but evaluated."""
    folder = copy_of_stages(tmp_path_factory.mktemp("prepared") / "project")
    write_data(folder / "data")
    set_params(folder, image_size=SIDE, width=8, depth=3, epochs=12, batch_size=4, threads=1)
    set_params(folder, precision="float32", resize="letterbox")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (download, preprocess, baseline):
            stage.main()
        knobs = load_params(TrainParams)
        train, validation = (
            Split.of(*load_split(Path("arrays"), split)) for split in ("train", "validation")
        )
        trainer = Trainer(knobs, train, validation, torch.device("cpu"))
        while trainer.step < trainer.steps:
            trainer.advance()
        header = Header("none", knobs.width, knobs.depth, SIDE, knobs.resize, "0" * 64, 1)
        save_weights(Path("model/unet.safetensors"), trainer.best, header)
    (folder / "mlflow.db").mkdir()  # without MLflow, which takes as long as the rest
    return folder


def evaluated(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.chdir(folder)
    evaluate.main()
    return folder


@pytest.fixture(scope="module")
def finished(prepared: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return evaluated(prepared, patch)


@pytest.fixture
def changed(prepared: Path, tmp_path: Path, monkeypatch) -> Callable[..., Path]:
    """Evaluates a copy of the project with something changed."""

    def changed(change: Callable[[], None] = lambda: None, **values: object) -> Path:
        folder = tmp_path / "project"
        shutil.copytree(prepared, folder, symlinks=True)
        shutil.rmtree(folder / "predictions", ignore_errors=True)
        set_params(folder, **values)
        monkeypatch.chdir(folder)
        change()
        return evaluated(folder, monkeypatch)

    return changed


def evaluation(folder: Path) -> dict:
    return json.loads((folder / "metrics/evaluation.json").read_text())


def per_image(folder: Path, split: str = "test") -> pd.DataFrame:
    table = pd.read_csv(folder / "metrics/per_image.csv")
    return table[table["split"] == split].reset_index(drop=True)


def results(folder: Path) -> dict[str, bytes]:
    files = [*RESULTS, *(p.relative_to(folder) for p in sorted(folder.glob("predictions/*/*")))]
    return {str(name): (folder / name).read_bytes() for name in files}


@pytest.mark.parametrize("split", SCORED)
def test_the_challenges_own_scorer_gives_the_same(finished, tmp_path, split):
    scorer = pytest.importorskip(
        "isic_challenge_scoring.segmentation", reason="needs isic-challenge-scoring"
    )
    with ArchiveReader(finished / "raw") as archives:
        for row in load_index(finished / "arrays", split).itertuples():
            content = archives.read(row.mask_archive, row.mask)
            (tmp_path / Path(row.mask).name).write_bytes(content)
    official = scorer.SegmentationScore.from_dir(tmp_path, finished / "predictions" / split)
    ours = evaluation(finished)[split]
    for name, theirs in SCORES.items():
        assert ours[name] == pytest.approx(official.macro_average[theirs], abs=1e-6), name
    assert 0.2 < ours["dice"] < 1  # or there would be little to compare


def test_the_scorer_refuses_what_is_of_another_size(finished, tmp_path):
    scorer = pytest.importorskip(
        "isic_challenge_scoring.segmentation", reason="needs isic-challenge-scoring"
    )
    from isic_challenge_scoring.types import ScoreError

    name = per_image(finished)["id"][0]
    (tmp_path / f"{name}_segmentation.png").write_bytes(encode_mask(np.zeros((9, 9), bool)))
    with pytest.raises(ScoreError, match="dimensions"):
        scorer.SegmentationScore.from_dir(tmp_path, finished / "predictions/test")


def test_predictions_are_as_the_challenge_wants_them(finished):
    for split in SCORED:
        index = load_index(finished / "arrays", split)
        found = sorted(path.name for path in (finished / "predictions" / split).iterdir())
        assert found == sorted(f"{name}_segmentation.png" for name in index["id"])
        for row in index.itertuples():
            path = finished / f"predictions/{split}/{row.id}_segmentation.png"
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (row.height, row.width) and mask.dtype == np.uint8
            assert set(np.unique(mask)) <= {0, 255}


def test_pooled_scores_are_those_of_all_pixels(finished):
    for split in SCORED:
        numbers, pixels = evaluation(finished)[split], per_image(finished, split)
        tp, fp, fn = (pixels[name].sum() for name in ("tp", "fp", "fn"))
        assert numbers["pooled_iou"] == pytest.approx(tp / (tp + fp + fn), abs=1e-6)
        dice, iou = numbers["pooled_dice"], numbers["pooled_iou"]
        assert iou == pytest.approx(dice / (2 - dice), abs=2e-6)


def test_scores_per_image_lead_to_the_means(finished):
    for split in SCORED:
        numbers, table = evaluation(finished)[split], per_image(finished, split)
        assert numbers["images"] == len(table)
        for name in (*SCORES, "boundary_f1", "hd95", "assd", "hd95_share", "assd_share"):
            assert numbers[name] == pytest.approx(table[name].mean(), abs=2e-6), name
        assert numbers["failed"] == pytest.approx((table["iou"] < 0.65).mean(), abs=1e-6)
        pixels = table[["tp", "fp", "fn", "tn"]].sum(axis=1)
        assert (pixels == [np.prod(size) for size in sizes(finished, split)]).all()


def sizes(folder: Path, split: str) -> list[tuple[int, int]]:
    index = load_index(folder / "arrays", split)
    return list(zip(index["height"], index["width"], strict=True))


def test_the_order_of_the_images_changes_nothing_to_the_bit(finished, changed):
    def reorder() -> None:
        index = pd.read_csv("arrays/index.csv", dtype={"id": str})
        parts = []
        for split, rows in index.groupby("split", sort=False):
            order = np.random.default_rng(0).permutation(len(rows))
            parts.append(rows.iloc[order])
            for kind in ("images", "masks"):
                path = array_path(Path("arrays"), split, kind)
                array = np.load(path)[order]
                path.unlink()
                np.save(path, array)
        pd.concat(parts).to_csv("arrays/index.csv", index=False)

    before, after = results(finished), results(changed(reorder))
    assert before.keys() == after.keys()
    rows = [sorted(files.pop("metrics/per_image.csv").splitlines()) for files in (before, after)]
    assert rows[0] == rows[1]
    for name in before:
        assert before[name] == after[name], name


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_nothing_to_the_bit(finished, changed, threads):
    assert results(changed(threads=threads)) == results(finished)


def test_with_one_thread_opencv_and_torch_compute_on_one(prepared, tmp_path):
    # In a process of its own: here, OpenCV has one thread by now.
    folder = shutil.copytree(prepared, tmp_path / "project", symlinks=True)
    (folder / "evaluate_noting.py").write_text(
        "import sys; sys.path.insert(0, 'stages')\n"
        "import cv2, torch\n"
        "import evaluate\n"
        "encode, noted = evaluate.encode_mask, set()\n"
        "def noting(mask):\n"
        "    noted.add((cv2.getNumThreads(), torch.get_num_threads()))\n"
        "    return encode(mask)\n"
        "evaluate.encode_mask = noting\n"
        "evaluate.main()\n"
        "print(noted)\n"
    )
    environ = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}
    output = subprocess.check_output(
        [sys.executable, "evaluate_noting.py"], cwd=folder, env=environ, text=True
    )
    assert output.splitlines()[-1] == "{(1, 1)}"


@pytest.mark.parametrize("stage", ["preprocess", "baseline", "plot"])
def test_in_stages_that_share_images_out_among_threads_opencv_has_one(stage):
    code = f"import {stage}, cv2; print(cv2.getNumThreads())"
    folder = Path(evaluate.__file__).parent
    output = subprocess.check_output([sys.executable, "-c", code], cwd=folder, text=True)
    assert output == "1\n"


def test_what_is_chosen_is_noted_and_used(finished):
    chosen = evaluation(finished)["chosen"]
    steps = pd.read_csv(finished / "metrics/choice.csv", dtype=str)
    taken = steps[steps["taken"] == "True"].set_index("question")["option"]
    for name in ("tta", "threshold", "largest_component", "fill_holes"):
        assert taken[name] == str(chosen[name]).lower()
    best = steps[steps["question"] == "fill_holes"].set_index("taken").loc["True"]
    for name in ("dice", "iou", "thresholded_iou"):
        assert float(best[name]) == pytest.approx(
            evaluation(finished)["validation"][name], abs=2e-6
        )


@pytest.mark.parametrize("tta", [False, True])
def test_what_the_parameters_fix_is_used(changed, tta):
    rules = Rules(tta, threshold=0.61, largest_component=True, fill_holes=False)
    folder = changed(**{name: str(value).lower() for name, value in asdict(rules).items()})
    chosen = evaluation(folder)["chosen"]
    temperature = chosen.pop("temperature")
    no_lesion = NoLesion(chosen.pop("no_lesion_odds"), chosen.pop("no_lesion_slope"))
    assert 0 < chosen.pop("review_limit") <= 1
    assert chosen == asdict(rules)

    index, images, _ = load_split(folder / "arrays", "test")
    network, _ = load_model(folder / "model/unet.safetensors", "cpu")
    maps = [
        found
        for (found,) in probability_maps(Predictor(network), images, torch.device("cpu"), [tta])
    ]
    with ArchiveReader(folder / "raw") as archives:
        originals = Originals(index, archives)
        for row, case in enumerate(per_image(folder).itertuples()):
            path = folder / f"predictions/test/{case.id}_segmentation.png"
            mask = rules.mask(originals.enlarged(row, maps[row]))
            assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0, mask)
            shown = originals.shown(row, maps[row])
            certain = calibrated(shown, temperature)
            expected = expected_dice(certain, rules.mask(shown), no_lesion)
            assert case.expected_dice == pytest.approx(expected, abs=1e-6)


def test_nothing_is_chosen_by_the_test_split(finished, changed):
    def blacken() -> None:
        """Other true masks for the test images."""
        path = Path("raw/ISIC2018_Task1_Test_GroundTruth.zip")
        rows = load_index(Path("arrays"), "test").itertuples()
        empty = [(r.mask, encode_mask(np.zeros((r.height, r.width), bool))) for r in rows]
        path.unlink()
        pack(path, empty)
        path = array_path(Path("arrays"), "test", "masks")
        masks = np.load(path)
        path.unlink()
        np.save(path, np.zeros_like(masks))

    folder = changed(blacken)
    assert evaluation(folder)["chosen"] == evaluation(finished)["chosen"]
    assert evaluation(folder)["validation"] == evaluation(finished)["validation"]
    assert evaluation(folder)["test"]["dice"] < evaluation(finished)["test"]["dice"]
    same = [f"predictions/test/{name}_segmentation.png" for name in per_image(finished)["id"]]
    assert all((folder / name).read_bytes() == (finished / name).read_bytes() for name in same)


def test_each_true_mask_is_decoded_once(changed, monkeypatch):
    decoded = []

    def noting(content: bytes, reading: Reading) -> np.ndarray:
        decoded.append(content)
        return decode_mask(content, reading)

    monkeypatch.setattr("lesion.scoring.originals.decode_mask", noting)
    changed()
    assert len(decoded) == sum(len(load_index(Path("arrays"), split)) for split in SCORED)


def test_calibration_is_that_of_the_validation_pixels(finished):
    numbers = evaluation(finished)
    assert numbers["chosen"]["temperature"] != 1
    for kind in ("all_pixels", "unsure_pixels"):
        before, after = (
            numbers["validation"][f"{name}_error_{kind}"]
            for name in ("uncalibrated", "calibration")
        )
        assert after < before
    table = pd.read_csv(finished / "metrics/calibration.csv")
    gaps = (table["observed"] - table["predicted"]).abs()
    error = (gaps * table["pixels"]).sum() / table["pixels"].sum()
    assert numbers["test"]["calibration_error_all_pixels"] == pytest.approx(error, abs=1e-5)
    # Every pixel of the network's square that shows the image, and none of the bars beside it.
    scales = [
        (height, width, SIDE / max(height, width)) for height, width in sizes(finished, "test")
    ]
    shown = [round(height * scale) * round(width * scale) for height, width, scale in scales]
    assert table["pixels"].sum() == sum(shown) < SIDE**2 * len(shown)


def test_lesion_free_validation_photographs_teach_that_an_empty_mask_may_be_right(
    finished, changed
):
    def empty() -> None:
        """No lesion in three validation photographs."""
        path = Path("raw/ISIC2018_Task1_Validation_GroundTruth.zip")
        index = load_index(Path("arrays"), "validation")
        truths = []
        with ArchiveReader(Path("raw")) as archives:
            for place, row in enumerate(index.itertuples()):
                content = archives.read(row.mask_archive, row.mask)
                if place < 3:
                    content = encode_mask(np.zeros((row.height, row.width), bool))
                truths.append((row.mask, content))
        path.unlink()
        pack(path, truths)
        path = array_path(Path("arrays"), "validation", "masks")
        masks = np.load(path)
        path.unlink()
        masks[:3] = 0
        np.save(path, masks)

    assert evaluation(finished)["chosen"]["no_lesion_odds"] == 0
    folder = changed(empty, threshold=0.999)  # nothing is marked
    assert evaluation(folder)["chosen"]["no_lesion_odds"] > 0
    table = per_image(folder)
    nothing = table[table["predicted_share"] == 0]
    assert len(nothing) > 5 and nothing["expected_dice"].between(0.01, 0.99).all()


def test_what_has_no_value_is_left_out_and_nine_images_have_no_interval(finished, changed, capsys):
    scores = pd.read_csv(finished / "metrics/scores.csv")
    few = scores["images"] < 10
    assert scores.loc[few, ["low", "high"]].isna().all(axis=None)
    means = scores[~few & ~scores["score"].str.startswith("batch")]
    assert len(means) > 20 and means[["low", "high"]].notna().all(axis=None)
    folder = changed(threshold=0.999, largest_component="false", fill_holes="false", tta="false")
    for numbers in (evaluation(folder)[split] for split in SCORED):
        assert all(math.isfinite(value) for value in numbers.values())
    # Of nothing marked anywhere, nothing varies that could be ranked.
    assert "confidence_correlation" not in evaluation(folder)["validation"]
    said = capsys.readouterr().out.splitlines()
    validation, test = (next(line for line in said if line.startswith(s)) for s in SCORED)
    assert "9 images, on which epoch and rules were chosen: it flatters)" in validation
    assert "–" not in validation and "dice 0.0000 " in validation and "flatters" not in test
    assert re.search(r"dice 0\.\d{4} \(0\.\d{4}–0\.\d{4}\)", test)


def test_risk_and_coverage_are_of_the_test_images(finished):
    table = pd.read_csv(finished / "metrics/risk_coverage.csv")
    assert len(table) == len(per_image(finished))
    risk = 1 - per_image(finished)["iou"].mean()
    assert table["risk"].iloc[-1] == pytest.approx(risk, abs=1e-6)


def test_a_mask_that_was_changed_since_preprocess_is_named(changed):
    def shrink() -> None:
        index = load_index(Path("arrays"), "test")
        path = Path("raw/ISIC2018_Task1_Test_GroundTruth.zip")
        path.unlink()
        pack(path, [(name, encode_mask(np.zeros((9, 7), bool))) for name in index["mask"]])

    with pytest.raises(ImageError, match=r"ISIC_3\d+_segmentation.png is 7×9; expected \d+×\d+"):
        changed(shrink)
    assert not Path("predictions").exists()


def test_a_mask_that_is_no_image_is_named(changed):
    def damage() -> None:
        index = load_index(Path("arrays"), "validation")
        path = Path("raw/ISIC2018_Task1_Validation_GroundTruth.zip")
        path.unlink()
        pack(path, [(name, b"none") for name in index["mask"]])

    with pytest.raises(ImageError, match=r"GroundTruth.zip: m/ISIC_2\d+_segmentation.png: "):
        changed(damage)


def test_an_image_without_references_is_named(changed):
    def drop() -> None:
        table = pd.read_csv("metrics/baselines.csv")
        table.iloc[2:].to_csv("metrics/baselines.csv", index=False)

    with pytest.raises(InputError, match=r"no row for ISIC_2000000, one of 2; .* baseline`$"):
        changed(drop)


def test_references_stand_beside_the_network(finished):
    scores = pd.read_csv(finished / "metrics/scores.csv")
    whole = scores[(scores["split"] == "test") & (scores["group"] == "all")]
    baselines = pd.read_csv(finished / "metrics/baselines.csv")
    own = baselines[baselines["split"] == "test"]
    for method in ("centre", "otsu", "grabcut"):
        rows = whole[whole["method"] == method].set_index("score")
        assert rows.loc["dice", "value"] == pytest.approx(own[f"{method}_dice"].mean(), abs=1e-5)
        assert rows.loc["dice", "low"] < rows.loc["dice", "value"] < rows.loc["dice", "high"]


def test_groups_of_a_kind_hold_each_image_once(finished):
    scores = pd.read_csv(finished / "metrics/scores.csv")
    rows = scores[(scores["split"] == "test") & (scores["score"] == "dice")]
    rows = rows[rows["group"] != "all"]
    kinds = rows["group"].str.split(":").str[0]
    assert set(kinds) == {"size", "border", "contrast", "skin tone", "hair"}
    assert (rows.groupby(kinds)["images"].sum() == 13).all()
    table = per_image(finished)
    for kind, group in rows.groupby(kinds):
        mean = (group["value"] * group["images"]).sum() / 13
        assert mean == pytest.approx(table["dice"].mean(), abs=1e-5), kind
