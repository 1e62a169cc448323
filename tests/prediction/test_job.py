import csv
import io
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from damaged_input import IMAGE, KINDS, REJECTED, Kind, whole_data
from lesion.photos.images import encode_mask
from lesion.photos.members import pack
from lesion.pipeline.errors import InputError
from lesion.prediction.job import COLUMNS, Done, Job, overlay, pack_submission, write_table
from lesion.prediction.measures import Measures
from lesion.prediction.photographs import find_sources
from lesion.prediction.segmenter import Segmenter
from lesion.synthetic import lesion_image
from picture_files import jpeg
from small_model import write_model

COUNT = 5
# Kinds of fault that the photograph has by itself, without its mask.
ALONE = [
    kind
    for kind in KINDS
    if kind.stage == "preprocess"
    and not kind.written
    and not any(words in kind.name for words in ("its mask", "such an image", "whose colours"))
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def segmenter(model) -> Segmenter:
    return Segmenter.of_folder(model)


@pytest.fixture
def photographs(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(COUNT):
        image = lesion_image(number, 40 + number, 60)[0]
        (folder / f"ISIC_{number}.jpg").write_bytes(jpeg(image))
    return folder


class Counted(Segmenter):
    """Counts the photographs that it is given."""

    count = 0

    def several(self, contents):
        self.count += len(contents)
        yield from super().several(contents)


def run(out: Path, segmenter: Segmenter, *places: Path, **options: object) -> list[Done]:
    return list(Job(out, segmenter, **options).run(find_sources(places)))


def test_masks_lie_there_in_the_challenges_format_and_rows_have_their_measures(
    photographs, segmenter, tmp_path
):
    done = run(tmp_path / "out", segmenter, photographs)
    assert [one.source.id for one in done] == [f"ISIC_{number}" for number in range(COUNT)]
    for one in done:
        found = segmenter((photographs / f"{one.source.id}.jpg").read_bytes())
        path = tmp_path / "out/masks" / f"{one.source.id}_segmentation.png"
        assert path.read_bytes() == encode_mask(found.decided.mask)
        assert [*one.row] == COLUMNS
        measured = Measures.of(found).as_row()
        assert {k: v for k, v in one.row.items() if k in measured and v is not None} == {
            k: v for k, v in measured.items() if v == v
        }
        assert one.row["expected_dice"] == pytest.approx(found.decided.expected_dice, abs=1e-6)
        assert one.row["review"] == str(found.review).lower()
    assert not (tmp_path / "out/overlays").exists()


def test_folders_and_archives_give_the_same(photographs, segmenter, tmp_path):
    files = [(path.name, path.read_bytes()) for path in sorted(photographs.iterdir())]
    pack(tmp_path / "all.zip", files)
    rows = [
        [one.row for one in run(tmp_path / f"out{number}", segmenter, place)]
        for number, place in enumerate((photographs, tmp_path / "all.zip"))
    ]
    assert rows[0] == rows[1]


def damaged(kind: Kind, folder: Path) -> bytes | None:
    """The photograph with that fault; None where the fault is elsewhere."""
    data = whole_data(folder)
    whole, masks = data.image, dict(data.masks)
    kind.damage(data)
    own = data.images.get(IMAGE)
    return own if own not in (whole, None) and data.masks == masks else None


def test_bad_files_are_named_and_the_others_done(segmenter, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    (tmp_path / "scratch").mkdir()
    expected = {}
    for number, kind in enumerate(ALONE):
        if (content := damaged(kind, tmp_path / "scratch")) is not None:
            (folder / f"{number}.jpg").write_bytes(content)
            expected[f"{number}"] = kind
    names = {
        "=formula.jpg": "its name",
        "two\nlines.jpg": "its name",
        f"{'long' * 52}.jpg": "its name",
        "scan.dcm": "not an image",
        "film.mp4": "not an image",
        "packed.zip": "not an image",
    }
    for name in names:
        (folder / name).write_bytes(b"PK\x03\x04")
    (folder / "lost.jpg").symlink_to("nowhere")
    (folder / "folder.jpg").symlink_to(".")
    os.mkfifo(folder / "pipe.jpg")
    names |= {"lost.jpg": "nothing", "folder.jpg": "a folder", "pipe.jpg": "a FIFO"}
    done = {one.source.name: one for one in run(tmp_path / "out", segmenter, folder)}
    bad = [kind for kind in expected.values() if kind.outcome == REJECTED]
    assert len(bad) + len(names) >= 20 and len(expected) > len(bad)
    for name, words in names.items():
        assert words in done[name].reason
    for name, kind in expected.items():
        one = done[f"{name}.jpg"]
        assert (one.row is None) == (kind.outcome == REJECTED), (kind.name, one.reason)
        for words in kind.words if one.row is None else ():
            assert words.removeprefix("image: ") in one.reason or words == kind.victim, kind.name


def test_what_is_done_is_not_done_again(photographs, model, tmp_path):
    counted = Counted.of_folder(model)
    first = run(tmp_path / "out", counted, photographs)
    assert counted.count == COUNT and not any(one.earlier for one in first)
    again = run(tmp_path / "out", counted, photographs)
    assert counted.count == COUNT and all(one.earlier for one in again)
    assert [one.row for one in again] == [one.row for one in first]


@pytest.mark.parametrize("lost", ["the file", "its mask", "its overlay", "its line"])
def test_what_changed_or_was_lost_is_done_again_alone(lost, photographs, model, tmp_path):
    counted, out = Counted.of_folder(model), tmp_path / "out"
    run(out, counted, photographs, overlays=True)
    before = {path: path.read_bytes() for path in out.rglob("*.png")}
    if lost == "the file":
        (photographs / "ISIC_2.jpg").write_bytes(jpeg(lesion_image(9, 50, 50)[0]))
    elif lost == "its mask":
        (out / "masks/ISIC_2_segmentation.png").unlink()
    elif lost == "its overlay":
        (out / "overlays/ISIC_2.jpg").unlink()
    else:
        path = out / "progress.jsonl"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if '"ISIC_2"' not in line))
    done = run(out, counted, photographs, overlays=True)
    assert counted.count == COUNT + 1
    assert [one.source.id for one in done if not one.earlier] == ["ISIC_2"]
    if lost != "the file":
        assert {path: path.read_bytes() for path in out.rglob("*.png")} == before


@pytest.mark.parametrize("kept", [0, 1, 40, -30])
def test_a_line_that_a_kill_cut_costs_one_photograph(kept, photographs, model, tmp_path):
    counted, out = Counted.of_folder(model), tmp_path / "out"
    run(out, counted, photographs)
    *lines, last = (out / "progress.jsonl").read_text().splitlines()
    (out / "progress.jsonl").write_text("\n".join([*lines, last[:kept]]))
    assert sum(not one.earlier for one in run(out, counted, photographs)) == 1
    assert all(one.earlier for one in run(out, counted, photographs))


def test_machines_share_a_folder_and_the_last_one_finds_all_done(photographs, model, tmp_path):
    counted, out = Counted.of_folder(model), tmp_path / "out"
    sources = find_sources([photographs])
    for number in range(2):
        part = Job(out, counted).run(sources[number::2], f"-{number + 1}-of-2")
        assert not any(one.earlier for one in part)
    assert all(one.earlier for one in Job(out, counted).run(sources))


def test_a_folder_of_another_models_masks_is_left_alone(photographs, segmenter, tmp_path):
    out = tmp_path / "out"
    run(out, segmenter, photographs)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for number, change in enumerate(({"seed": 1}, {"threshold": 0.4})):
        other = Segmenter.of_folder(write_model(tmp_path / f"{number}", **change))
        with pytest.raises(InputError, match="another model"):
            Job(out, other)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_outline_lies_on_the_masks_border(tmp_path):
    image = np.full((300, 400, 3), 128, np.uint8)
    mask = np.zeros((300, 400), bool)
    mask[100:200, 150:300] = True
    drawn = cv2.imdecode(np.frombuffer(overlay(jpeg(image), mask), np.uint8), cv2.IMREAD_COLOR)
    yellow = (drawn[..., 2].astype(int) - drawn[..., 0]) > 60
    assert yellow[100, 200] and yellow[150, 150]
    assert not yellow[150, 220] and not yellow[50, 50] and drawn.shape == image.shape


def test_tables_hold_what_a_comma_or_a_break_would_tear(tmp_path):
    rows = [{"file": 'a,"b".jpg', "reason": "two\nlines"}, {"file": "ü.jpg", "reason": None}]
    write_table(tmp_path / "t.csv", ["file", "reason"], rows)
    read = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8"))))
    assert read == [rows[0], {"file": "ü.jpg", "reason": ""}]


def test_a_submission_has_the_masks_at_its_top_and_the_same_bytes_each_time(tmp_path):
    masks = [tmp_path / "masks" / name for name in ("a_segmentation.png", "p/b_segmentation.png")]
    for number, mask in enumerate(masks):
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(b"%d" % number)
    for name in ("one.zip", "two.zip"):
        pack_submission(tmp_path / name, masks)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a_segmentation.png": b"0",
            "b_segmentation.png": b"1",
        }
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with pytest.raises(InputError, match="another mask"):
        pack_submission(tmp_path / "three.zip", [*masks, masks[1]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "one.zip", "two.zip"]
