"""Public data sets in the layouts in which they come, drawn small, by their own entries."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

import baseline
import download
import encoder
import evaluate
import preprocess
import train
from archive_server import write_registry
from lesion.fetching.datasets import load_datasets
from lesion.photos.archives import ArchiveReader
from lesion.photos.masks import decode_mask
from lesion.photos.members import ArchiveMembers, pack
from lesion.pipeline.errors import InputError
from project import SMALL, copy_of_stages, set_params
from public_data import drawn, encoded, ph2, write

pytestmark = pytest.mark.long


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stages and the project's own datasets.yaml in the current folder."""
    folder = copy_of_stages(tmp_path / "project")
    monkeypatch.chdir(folder)
    for name in ("DVC_ROOT", "LESION_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    set_params(folder, limit=0)
    return folder


@pytest.fixture
def as_before() -> Iterator[None]:
    """Training makes torch deterministic."""
    mode = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(mode)


def downloaded(source: str) -> list[str]:
    """The ids that the stage download lists of a data set, whose folder is of that name."""
    set_params(Path(), source=source, data=f"data/{source}")
    download.main()
    return pd.read_csv("raw/index.csv", dtype=str)["id"].tolist()


@pytest.mark.slow
@pytest.mark.usefixtures("as_before")
def test_ph2_is_scored_to_the_end_by_its_entry(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ph2(66)
    assert len(files) == 200
    write(project / "data/ph2", files)
    (project / "mlflow.db").mkdir()  # without MLflow, which takes as long as the rest
    set_params(project, **{**SMALL, "limit": 0}, source="ph2", data="data/ph2")
    for stage in (download, preprocess):
        stage.main()
    first, second, third, *more = capsys.readouterr().out.splitlines()
    assert first == "pairs: 66 train" and second.startswith("note: data/ph2: 68 × passed over")
    assert third.startswith("arrays: ") and more == []
    for stage in (baseline, encoder, train, evaluate):
        stage.main()
    index = pd.read_csv("arrays/index.csv", dtype=str)
    assert sorted(index["id"]) == [f"IMD{i:03}" for i in range(2, 68)]
    scores = pd.read_csv("metrics/per_image.csv")
    for split in ("validation", "test"):
        ids = index.loc[index["split"] == split, "id"].tolist()
        scored = scores[scores["split"] == split]
        assert scored["id"].tolist() == ids and len(ids) > 3
        assert scored["dice"].between(0, 1).all()


def test_a_top_down_mask_is_read_the_right_way_up(project: Path) -> None:
    write(project / "data/ph2", ph2(4))
    assert downloaded("ph2") == ["IMD002", "IMD003", "IMD004", "IMD005"]
    member = "PH2Dataset/PH2 Dataset images/IMD003/IMD003_lesion/IMD003_lesion.bmp"
    with ArchiveReader(Path("raw")) as archives:
        mask = decode_mask(archives.read("train_masks.zip", member))
    true = drawn(3)[1] > 0
    assert (mask == true).all() and not (mask == true[::-1]).all()


def test_waterloo_pairs_images_and_masks_that_both_have_suffixes(project: Path) -> None:
    folders = [
        "Skin Image Data Set-1/skin_data/melanoma/dermIS",
        "Skin Image Data Set-1/skin_data/melanoma/dermquest",
        "Skin Image Data Set-2/skin_data/notmelanoma/dermquest",
    ]
    image, mask = drawn(0)
    for folder in folders:
        files = {"10_orig.jpg": image, "10_contour.png": encoded(mask, "PNG"), "Thumbs.db": b""}
        write(project / "data/waterloo" / folder, files)
    ids = downloaded("waterloo")
    assert ids == ["melanoma_dermIS_10", "melanoma_dermquest_10", "notmelanoma_dermquest_10"]


def test_ham10000_has_its_images_in_two_archives(project: Path) -> None:
    known = load_datasets()["ham10000"]
    unknown = {"bytes": None, "md5": None}  # of these small archives
    images, masks = (
        [source.model_copy(update=unknown | {"files": count}) for source, count in sources]
        for sources in (zip(known.train.images, (2, 3), strict=True), [(known.train.masks[0], 5)])
    )
    train = known.train.model_copy(update={"images": tuple(images), "masks": tuple(masks)})
    write_registry(project, ham10000=known.model_copy(update={"train": train}))
    image, mask = drawn(0)
    top = "HAM10000_segmentations_lesion_tschandl"
    ids = [f"ISIC_002430{i}" for i in range(5)]
    members = [(f"{top}/{name}_segmentation.png", encoded(mask, "PNG")) for name in ids]
    left = ("__MACOSX/" + f"{top}/._{ids[0]}_segmentation.png", b"Mac OS X")
    (project / "data/ham10000").mkdir(parents=True)
    with pytest.raises(InputError, match=r"HAM10000_images_part_1\.zip: not found; get .*DBW86T"):
        downloaded("ham10000")
    pack(project / f"data/ham10000/{top}.zip", [*members, left])
    for part, some in ((1, ids[:2]), (2, ids[2:])):
        path = project / f"data/ham10000/HAM10000_images_part_{part}.zip"
        pack(path, [(f"{name}.jpg", image) for name in some])
    assert downloaded("ham10000") == ids
    index = pd.read_csv("raw/index.csv")
    assert index["image_archive"].str.extract(r"part_(\d)")[0].tolist() == ["1"] * 2 + ["2"] * 3


def test_folders_of_nnu_net_are_an_entry(project: Path) -> None:
    (project / "datasets.yaml").write_text(
        "nn:\n  title: nnU-Net\n  licence: internal\n  image_suffix: _0000\n  mask_suffix: ''\n"
        "  train:\n    images: {folder: imagesTr}\n    masks: {folder: labelsTr}\n"
        "  test:\n    images: {folder: imagesTs}\n    masks: {folder: labelsTs}\n"
    )
    image, mask = drawn(0, "PNG")
    for name, part in (("case_0000", "Tr"), ("case_0001", "Tr"), ("case_0002", "Ts")):
        files = {f"images{part}/{name}_0000.png": image, "dataset.json": b"{}"}
        write(project / "data/nn", files | {f"labels{part}/{name}.png": encoded(mask, "PNG")})
    assert downloaded("nn") == ["case_0000", "case_0001", "case_0002"]


def test_what_the_isic_archives_tool_puts_beside_images_is_no_obstacle(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "datasets.yaml").write_text(
        "own:\n  title: Own\n  licence: CC-BY\n  mask_suffix: _m\n"
        "  train: {images: {folder: images}, masks: {folder: masks}}\n"
    )
    image, mask = drawn(0)
    beside = {"attribution.txt": b"a", "licenses/CC-BY.txt": b"b", "metadata.csv": b"c"}
    write(project / "data/own/images", {"A.jpg": image, **beside})
    write(project / "data/own/masks", {"A_m.png": encoded(mask, "PNG")})
    assert downloaded("own") == ["A"]
    said = capsys.readouterr().out
    assert said.splitlines()[1:] == [
        "note: data/own/images: 1 × passed over beside the images: metadata.csv"
    ]
    kept = ArchiveMembers(Path("raw/train_images.zip")).names()
    assert kept == ["A.jpg", "attribution.txt", "licenses/CC-BY.txt"]


@pytest.mark.parametrize("source", ["ph2", "waterloo"])
def test_a_data_set_that_is_not_there_is_named_with_the_way_to_it(
    project: Path, source: str
) -> None:
    way = load_datasets()[source].obtain
    with pytest.raises(InputError) as error:
        downloaded(source)
    assert str(error.value) == f"data/{source}: not found; {way}"
    (project / f"data/{source}").mkdir(parents=True)
    (project / f"data/{source}/Synthetic_Task1-2_Training_Input.zip").touch()
    with pytest.raises(InputError) as error:
        downloaded(source)
    message = f"data/{source}: no image or mask of this data set in it; {way}"
    assert str(error.value) == message
