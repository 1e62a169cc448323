import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import baseline
import download
import preprocess
from lesion.formats.groups import groups
from lesion.photos.archives import ArchiveReader
from lesion.photos.images import decode_image, encode_mask, resize_image, resize_mask
from lesion.photos.masks import Reading, decode_mask
from lesion.pipeline import parallel
from lesion.pipeline.errors import ImageError, InputError
from lesion.scoring.baselines import BASELINES
from lesion.scoring.scores import Confusion
from lesion.scoring.traits import Traits
from lesion.synthetic import lesion_image
from project import ROOT, set_params

pytestmark = pytest.mark.long

TABLE = Path("metrics/baselines.csv")


@pytest.fixture
def project(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the stages before have run, and in which the process is."""
    for name in ("params.yaml", "datasets.yaml", "exclude.csv"):
        shutil.copy(ROOT / name, tmp_path)
    set_params(tmp_path, data="data", image_size=16)
    shutil.copytree(sample, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    download.main()
    preprocess.main()
    return tmp_path


def encode_image(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def change_index(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = Path("arrays/index.csv")
    change(pd.read_csv(path)).to_csv(path, index=False)


def test_table_has_a_row_an_image_of_validation_and_test_in_order(project):
    baseline.main()
    table = pd.read_csv(TABLE)
    index = pd.read_csv("arrays/index.csv")
    assert table["id"].tolist() == index.loc[index["split"] != "train", "id"].tolist()
    assert table["split"].tolist() == ["validation"] * 2 + ["test"] * 2
    scores = [f"{name}_{score}" for name in BASELINES for score in ("dice", "iou")]
    assert list(table) == ["id", "split", *Traits.__dataclass_fields__, *scores]
    assert table[scores].stack().between(0, 1).all()
    assert len(groups(table)) == 4


@pytest.mark.parametrize("side", [512, 16], ids=["whole", "reduced"])
def test_scores_and_shares_are_those_at_the_original_resolution(project, monkeypatch, side):
    monkeypatch.setattr(baseline, "SIDE", side)
    baseline.main()
    index = pd.read_csv("arrays/index.csv").set_index("id")
    with ArchiveReader(Path("raw")) as archives:
        for row in pd.read_csv(TABLE).itertuples():
            pair = index.loc[row.id]
            image = decode_image(archives.read(pair["image_archive"], pair["image"])).pixels
            truth = decode_mask(archives.read(pair["mask_archive"], pair["mask"]))
            assert row.lesion_share == pytest.approx(truth.mean(), abs=1e-6)
            height, width = truth.shape
            if side < width:
                small = archives.read(pair["image_archive"], pair["image"])
                size = round(height * side / width), side
                image = resize_image(decode_image(small, size).pixels, *size)
            for name, segment in BASELINES.items():
                mask = resize_mask(segment(image), height, width)
                confusion = Confusion.between(mask, truth)
                assert getattr(row, f"{name}_dice") == pytest.approx(confusion.dice, abs=1e-6)
                assert getattr(row, f"{name}_iou") == pytest.approx(confusion.iou, abs=1e-6)


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [((0, 9), True), ((59, 9), True), ((9, 0), True), ((9, 79), True), ((1, 78), False)],
)
def test_one_pixel_at_the_edge_of_the_full_mask_is_enough_to_touch_it(monkeypatch, pixel, expected):
    monkeypatch.setattr(baseline, "SIDE", 16)
    image, _ = lesion_image(1, 60, 80)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:40] = mask[pixel] = True
    reading = Reading("grey", ((129, 255),), 1)
    found = baseline.measure(encode_image(image), encode_mask(mask), mask.shape, reading)
    assert found["at_border"] == expected


def test_table_is_the_same_bytes_for_any_number_of_threads(project, monkeypatch):
    tables = []
    for threads in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda count=threads: count)
        baseline.main()
        tables.append(TABLE.read_bytes())
    assert tables[0] == tables[1]


def test_an_image_of_another_size_than_in_the_index_is_named(project):
    change_index(lambda index: index.assign(height=index["height"] + 1))
    with pytest.raises(ImageError, match=r"ISIC_\d+: image is .* expected .* arrays/index.csv"):
        baseline.main()
    assert not TABLE.exists()


def test_a_member_that_is_missing_is_named(project):
    change_index(lambda index: index.assign(image="in/other.jpg"))
    with pytest.raises(ImageError, match=r"Input\.zip.*other\.jpg"):
        baseline.main()


def test_a_missing_archive_or_index_or_split_is_told(project):
    index = Path("arrays/index.csv")
    before = index.read_bytes()
    change_index(lambda table: table[table["split"] != "test"])
    with pytest.raises(InputError, match="no test row"):
        baseline.main()
    index.write_bytes(before)
    for path in Path("raw").glob("*.zip"):
        path.unlink()
    with pytest.raises(InputError, match="not found"):
        baseline.main()
    index.unlink()
    with pytest.raises(InputError, match=r"index\.csv: not found"):
        baseline.main()


def test_stage_does_without_torch():
    script = "import sys, baseline; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT / "stages", check=True)


def test_numbers_have_no_more_digits_than_mean_something(project):
    baseline.main()
    table = pd.read_csv(TABLE)
    np.testing.assert_array_equal(table["contrast"], table["contrast"].round(2))
    np.testing.assert_array_equal(table["centre_dice"], table["centre_dice"].round(6))
