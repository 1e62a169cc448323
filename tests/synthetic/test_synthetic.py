import zipfile
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from lesion.synthetic import archives, lesion_image, write_archives
from lesion.synthetic.__main__ import main

pytestmark = pytest.mark.long

COUNTS = {"train": 3, "validation": 2, "test": 2}
OFFICIAL = {
    "ISIC2018_Task1-2_Training_Input",
    "ISIC2018_Task1_Training_GroundTruth",
    "ISIC2018_Task1-2_Validation_Input",
    "ISIC2018_Task1_Validation_GroundTruth",
    "ISIC2018_Task1-2_Test_Input",
    "ISIC2018_Task1_Test_GroundTruth",
}


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    return [lesion_image(seed, 48, 64) for seed in range(200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    write_archives(folder, COUNTS, size=48, seed=7)
    return folder


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def ids(path: Path, ending: str) -> list[str]:
    stems = [name.split("/")[1] for name in members(path) if name.endswith(ending)]
    return [stem.removesuffix(ending) for stem in stems]


def border(mask: np.ndarray) -> np.ndarray:
    return np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean brightness just outside the lesion less that inside, in grey levels."""
    grey = image.mean(2)
    ring = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~mask
    return grey[ring].mean() - grey[mask].mean()


def otsu_dice(image: np.ndarray, mask: np.ndarray) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    return 2 * (dark.astype(bool) & mask).sum() / (dark.sum() + mask.sum())


def test_same_seed_gives_same_arrays():
    first, second = lesion_image(5, 60, 80), lesion_image(5, 60, 80)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_result_does_not_depend_on_the_number_of_threads():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = [lesion_image(seed, 192, 256) for seed in range(3)]
        cv2.setNumThreads(4)
        several = [lesion_image(seed, 192, 256) for seed in range(3)]
    finally:
        cv2.setNumThreads(threads)
    for one, other in zip(single, several, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.long
def test_different_seeds_give_different_images_and_masks(pairs):
    assert len({image.tobytes() for image, _ in pairs}) == len(pairs)
    assert len({mask.tobytes() for _, mask in pairs}) == len(pairs)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (33, 17), (16, 200), (101, 75), (300, 400)])
def test_any_size_from_16_pixels_works(size):
    for seed in range(5):
        image, mask = lesion_image(seed, *size)
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert mask.shape == size and mask.dtype == bool
        assert mask.any() and not mask.all()


@pytest.mark.parametrize("size", [(15, 64), (64, 15), (0, 0)])
def test_size_below_16_is_refused(size):
    with pytest.raises(ValueError, match="at least 16 px"):
        lesion_image(0, *size)


def test_mask_is_one_region_without_holes_and_never_trivial(pairs):
    for _, mask in pairs:
        assert 0.01 < mask.mean() < 0.7
        assert cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] == 2
        padded = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
        assert cv2.connectedComponents(padded, connectivity=4)[0] == 2


@pytest.mark.long
def test_tiny_masks_are_never_trivial():
    masks = [lesion_image(seed, 17, 33)[1] for seed in range(200)]
    assert all(mask.any() and not mask.all() for mask in masks)


def test_lesion_areas_are_spread_like_real_ones(pairs):
    low, middle, high = np.quantile([mask.mean() for _, mask in pairs], [0.05, 0.5, 0.95])
    assert low < 0.08
    assert 0.12 < middle < 0.25
    assert 0.4 < high < 0.65


def test_some_lesions_touch_the_border_and_most_do_not(pairs):
    share = np.mean([border(mask).any() for _, mask in pairs])
    assert 0.05 < share < 0.5


def test_some_lesions_are_faint_and_nearly_all_are_visible(pairs):
    contrasts = np.array([contrast(*pair) for pair in pairs])
    assert (contrasts < 20).sum() >= 5
    assert np.mean(contrasts > 4) > 0.95


def test_skin_tones_run_from_dark_to_light(pairs):
    tones = [np.median(image[~mask]) for image, mask in pairs]
    assert min(tones) < 80
    assert max(tones) > 200


def test_a_global_threshold_does_not_solve_the_task(pairs):
    dice = np.array([otsu_dice(*pair) for pair in pairs])
    assert 0.15 < np.mean(dice < 0.7) < 0.8


def test_archives_are_named_like_the_official_ones(folder):
    assert {path.name for path in folder.iterdir()} == {f"{stem}.zip" for stem in OFFICIAL}


@pytest.mark.parametrize("stem", sorted(OFFICIAL))
def test_members_lie_in_a_top_folder_named_like_the_archive(folder, stem):
    ending = "_segmentation.png" if "GroundTruth" in stem else ".jpg"
    names = list(members(folder / f"{stem}.zip"))
    texts = {f"{stem}/LICENSE.txt", f"{stem}/ATTRIBUTION.txt"}
    assert texts < set(names) and names == sorted(names)
    for name in set(names) - texts:
        top, file = name.split("/")
        assert top == stem and file.startswith("ISIC_9") and file.endswith(ending)
        assert len(file.removesuffix(ending)) == len("ISIC_0000000")


def test_licence_says_that_the_images_are_synthetic(folder):
    for stem in OFFICIAL:
        content = members(folder / f"{stem}.zip")
        assert b"synthetic" in content[f"{stem}/LICENSE.txt"]
        assert b"MIT" in content[f"{stem}/LICENSE.txt"]
        assert b"ynthetic" in content[f"{stem}/ATTRIBUTION.txt"]


def test_pairs_join_by_id_and_ids_are_unique_over_splits(folder):
    seen = []
    for split, name in [("train", "Training"), ("validation", "Validation"), ("test", "Test")]:
        images = ids(folder / f"ISIC2018_Task1-2_{name}_Input.zip", ".jpg")
        masks = ids(folder / f"ISIC2018_Task1_{name}_GroundTruth.zip", "_segmentation.png")
        assert images == masks and len(images) == COUNTS[split]
        seen += images
    assert len(set(seen)) == sum(COUNTS.values())


def test_masks_are_8_bit_0_or_255_of_the_size_of_their_image(folder):
    images = members(folder / "ISIC2018_Task1-2_Training_Input.zip")
    masks = members(folder / "ISIC2018_Task1_Training_GroundTruth.zip")
    pictures = [decoded(data) for name, data in images.items() if name.endswith(".jpg")]
    regions = [decoded(data) for name, data in masks.items() if name.endswith(".png")]
    for picture, region in zip(pictures, regions, strict=True):
        assert region.shape == picture.shape[:2] and region.dtype == np.uint8
        assert set(np.unique(region)) == {0, 255}


def test_longer_side_is_the_size_asked_for_and_shapes_vary(tmp_path):
    write_archives(tmp_path, {"train": 12}, size=30, seed=1)
    content = members(tmp_path / "ISIC2018_Task1-2_Training_Input.zip")
    shapes = [decoded(data).shape[:2] for name, data in content.items() if name.endswith(".jpg")]
    assert {max(shape) for shape in shapes} == {30}
    assert len(set(shapes)) > 1


def test_archives_are_the_same_bytes_when_written_twice(folder, tmp_path):
    write_archives(tmp_path, COUNTS, size=48, seed=7)
    for stem in OFFICIAL:
        name = f"{stem}.zip"
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_archives_hold_no_time_and_no_compression(folder):
    for stem in OFFICIAL:
        with zipfile.ZipFile(folder / f"{stem}.zip") as archive:
            for info in archive.infolist():
                assert info.date_time == (1980, 1, 1, 0, 0, 0)
                assert info.compress_type == zipfile.ZIP_STORED
                assert info.external_attr >> 16 == 0o100644


def test_more_images_leave_the_first_ones_as_they_were(folder, tmp_path):
    write_archives(tmp_path, COUNTS | {"train": 5}, size=48, seed=7)
    for path in tmp_path.iterdir():
        before, after = members(folder / path.name), members(path)
        assert before == {name: after[name] for name in before}


def test_a_split_without_images_gets_no_archives(tmp_path):
    write_archives(tmp_path, {"train": 0, "validation": 1}, size=24, seed=0)
    assert len(list(tmp_path.iterdir())) == 2
    assert all("Validation" in path.name for path in tmp_path.iterdir())


def test_a_failure_while_writing_leaves_no_archive_behind(tmp_path, monkeypatch):
    pair = lesion_image(0, 24, 24)
    monkeypatch.setattr(archives, "lesion_image", Mock(side_effect=[pair, pair, OSError("full")]))
    with pytest.raises(OSError, match="full"):
        write_archives(tmp_path, {"train": 2, "test": 2}, size=24, seed=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("counts", "size", "message"),
    [
        ({"training": 1}, 64, "unknown splits"),
        ({"train": -1}, 64, "counts must be between"),
        ({"train": 1}, 23, "at least 24 px"),
    ],
)
def test_wrong_requests_are_refused_and_write_nothing(tmp_path, counts, size, message):
    with pytest.raises(ValueError, match=message):
        write_archives(tmp_path / "new", counts, size=size, seed=0)
    assert not (tmp_path / "new").exists()


def test_command_line_writes_the_archives(tmp_path, monkeypatch):
    arguments = ["synthetic", str(tmp_path), "--train=1", "--validation=0", "--test=1", "--size=24"]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    assert len(list(tmp_path.glob("Synthetic_*.zip"))) == 4  # no name that real archives have


def test_command_line_help_names_the_defaults(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["synthetic", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.count("default:") == 6
