"""What masks of a data set tell of each other; through the stages, to what is scored at the end."""

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import baseline
import download
import preprocess
from lesion.formats.arrays import load_split
from lesion.photos.archives import ArchiveReader
from lesion.photos.images import encode_mask
from lesion.photos.members import pack
from lesion.photos.placement import Placement, mask_to_square
from lesion.pipeline.errors import InputError
from lesion.scoring.originals import Originals
from lesion.scoring.scores import Confusion
from lesion.synthetic import lesion_image
from mask_files import (
    BLACK,
    IMAGE,
    KINDS,
    MASK,
    RED,
    SMEARED,
    WHITE,
    deep,
    labelled,
    two,
    with_palette,
)
from picture_files import ORIENTATIONS, encoded, exif, jpeg, png, stored
from project import ROOT, set_params

pytestmark = pytest.mark.long

OFFICIAL_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}
SIDE = 48


@dataclass(frozen=True)
class Pair:
    """The files of a pair, and the lesion that is meant, H×W bool and upright."""

    image: bytes
    mask: bytes
    lesion: np.ndarray


def pair(mask: bytes, lesion: np.ndarray = MASK) -> Pair:
    return Pair(jpeg(IMAGE, quality=95), mask, lesion)


class Project:
    """A folder in which the stages before the training run, in this process."""

    def __init__(self, say: Callable[[], str]) -> None:
        self.say, self.pairs = say, {}

    def run(self, *train: Pair, **knobs: object) -> list[str]:
        """Of a data set of `train`, the first of which is in all splits; what is said.

        Their ids are train0, train1, …, validation0 and test0.
        """
        pairs = {"train": train, "validation": train[:1], "test": train[:1]}
        shutil.rmtree("data", ignore_errors=True)
        Path("data").mkdir()
        self.pairs = {}
        for split, members in pairs.items():
            named = {f"{split}{number}": member for number, member in enumerate(members)}
            self.pairs |= named
            images = [(f"{name}.jpg", member.image) for name, member in named.items()]
            masks = [(f"{name}_segmentation.png", member.mask) for name, member in named.items()]
            pack(Path(f"data/X_{OFFICIAL_NAMES[split]}_Input.zip"), images)
            pack(Path(f"data/X_{OFFICIAL_NAMES[split]}_GroundTruth.zip"), masks)
        set_params(Path(), **({"source": "data", "max_empty": 1.0} | knobs))
        download.main()
        self.say()
        preprocess.main()
        return self.say().splitlines()

    def refusal(self, *train: Pair, **options: object) -> str:
        with pytest.raises(InputError) as error:
            self.run(*train, **options)
        assert "\n" not in str(error.value)
        return str(error.value)

    def require_agreement(self, least: float = 1.0) -> None:
        """Holds that what is trained on, scored and measured is the lesion that is meant."""
        baseline.main()
        measured = pd.read_csv("metrics/baselines.csv", index_col="id")
        with ArchiveReader(Path("raw")) as archives:
            for split in OFFICIAL_NAMES:
                index, _, masks = load_split(Path("arrays"), split)
                originals = Originals(index, archives)
                for row, found in enumerate(index.itertuples()):
                    truth, meant = originals.truth(row), self.pairs[found.id].lesion
                    assert Confusion.between(truth, meant).dice >= least, found.id
                    levels = Image.fromarray(truth.astype(np.uint8) * 255)
                    small = mask_to_square(levels, Placement.from_row(found), SIDE)
                    assert np.array_equal(masks[row], small), found.id
                    if split != "train":
                        share = measured.loc[found.id, "lesion_share"]
                        assert share == pytest.approx(truth.mean(), abs=1e-6)

    @property
    def table(self) -> pd.DataFrame:
        return pd.read_csv("metrics/data.csv", index_col="id")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name in ("params.yaml", "datasets.yaml", "exclude.csv"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baseline, "BASELINES", {})  # which take most of the time
    set_params(tmp_path, data="data", image_size=SIDE, resize="letterbox", limit=0)
    set_params(tmp_path, drop_leaks="false")  # the same few drawings are in all splits
    return Project(lambda: capsys.readouterr().out)


@pytest.mark.parametrize("kind", [*KINDS, *SMEARED])
def test_what_is_scored_is_what_was_trained_on_for_every_kind_of_mask(project, kind):
    mask = pair(KINDS.get(kind) or SMEARED[kind][0])
    project.run(mask, mask)
    project.require_agreement(least=1.0 if kind in KINDS else 0.96)


def everywhere(skin: object, lesion: object) -> tuple[bytes, bytes]:
    """Masks that are all skin, and all lesion."""
    return tuple(
        png(np.full((*MASK.shape, *np.shape(value)), value, np.uint8)) for value in (skin, lesion)
    )


EVEN = {
    "0 and 1": (KINDS["0 and 1"], *everywhere(0, 1)),
    "1 and 2": (KINDS["1 and 2"], *everywhere(1, 2)),
    "0 and 128": (KINDS["0 and 128"], *everywhere(0, 128)),
    "100 and 200": (KINDS["100 and 200"], *everywhere(100, 200)),
    "254 and 255": (KINDS["254 and 255"], *everywhere(254, 255)),
    "16 bits": (KINDS["16 bits, 0 and 256"], deep(two(0, 0)), deep(two(256, 256, int))),
    "JPEG": (
        SMEARED["JPEG of 100 and 200"][0],
        jpeg(two(100, 100), quality=80),
        jpeg(two(200, 200), quality=80),
    ),
    "red on black": (KINDS["red on black"], *everywhere(BLACK, (255, 0, 0))),
    "colours of one luma": (KINDS["colours of one luma"], *everywhere((0, 0, 4), (1, 0, 1))),
    "palette": (
        KINDS["palette, dark red by index"],
        with_palette(two(0, 0), BLACK, RED),
        with_palette(two(1, 1), BLACK, RED),
    ),
    "palette of what is used alone": (
        KINDS["palette, dark red on white"],
        with_palette(two(0, 0), WHITE),
        with_palette(two(0, 0), RED),
    ),
    "alpha": (KINDS["shape in alpha, black"], *everywhere((0, 0, 0, 0), (0, 0, 0, 255))),
    "half an alpha": (KINDS["shape in half an alpha"], *everywhere((9, 9, 9, 100), (9, 9, 9, 200))),
}


@pytest.mark.parametrize("kind", EVEN)
def test_an_empty_mask_and_a_full_one_are_told_by_the_others(project, kind):
    of_two, empty, full = EVEN[kind]
    nothing = np.zeros_like(MASK)
    project.run(pair(of_two), pair(empty, nothing), pair(full, ~nothing))
    notes = project.table["notes"]
    assert "no lesion" in notes["train1"] and "all lesion" in notes["train2"]
    project.require_agreement(least=0.96)


def speck(skin: int, lesion: int) -> Pair:
    """A soft mask of a lesion that is too small for an area of one value."""
    levels, meant = np.full(MASK.shape, float(skin)), np.zeros_like(MASK)
    levels[30:34, 40:44] += (lesion - skin) * 0.4
    levels[31:33, 41:43] = skin + (lesion - skin) * 0.8
    meant[31:33, 41:43] = True
    levels[0, :20] += (lesion - skin) * np.linspace(0, 0.2, 20)  # more values than labels have
    return pair(png(np.rint(levels).astype(np.uint8)), meant)


@pytest.mark.parametrize("values", [(0, 255), (0, 128), (100, 200), (3, 250)])
def test_a_lesion_without_an_area_is_cut_where_the_others_are(project, values):
    project.run(pair(png(two(*values))), speck(*values))
    project.require_agreement()
    assert project.table.loc["train1", "notes"] == "mask of several values"


def test_a_lesion_without_an_area_beside_no_other_mask_is_refused_or_cut_as_the_challenge_does(
    project,
):
    project.run(speck(0, 255))
    project.require_agreement()
    assert "100 is the only value" in project.refusal(speck(100, 200))


@pytest.mark.parametrize("value", [1, 76, 254])
def test_one_value_that_nothing_tells_of_is_refused_with_a_way_on(project, value):
    (content, _) = everywhere(value, 0)
    text = project.refusal(pair(KINDS["0 and 255"]), pair(content))
    assert f"train1: mask: {value} is the only value" in text
    assert f"lesion_values: [{value}]" in text
    project.run(pair(KINDS["0 and 255"]), pair(content), max_rejected=0.5)
    assert project.table.loc["train1", "state"] == "rejected"


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [
        (png(two(0, 128)), png(two(128, 255)), "128"),
        (png(two(0, 1)), png(two(1, 2)), "1"),
        (deep(two(0, 256, int)), deep(two(256, 512, int)), "256"),
        (
            with_palette(two(0, 1), BLACK, RED),
            with_palette(two(0, 1), RED, BLACK),
            "the colour (0, 0, 0)",
        ),
    ],
)
def test_a_value_that_is_skin_in_one_mask_and_lesion_in_another_stops_with_both(
    project, one, other, value
):
    text = project.refusal(pair(one), pair(png(two(0, 255))), pair(other), max_rejected=0.9)
    assert text.startswith("X_") and "train2" in text and "lesion_values" in text
    assert value in text and "is skin in one and lesion in the other" in text


def test_masks_of_other_values_that_mean_the_same_go_together(project):
    project.run(*(pair(KINDS[kind]) for kind in ("0 and 255", "0 and 1", "0 and 128", "1 bit")))
    project.require_agreement()


def described(lesion_values: str) -> None:
    """datasets.yaml with an entry `mine` of what lies in data/."""
    sources = "\n".join(
        f"  {split}: {{images: {{archive: X_{name}_Input.zip}}, "
        f"masks: {{archive: X_{name}_GroundTruth.zip}}}}"
        for split, name in OFFICIAL_NAMES.items()
    )
    Path("datasets.yaml").write_text(
        f"mine:\n  title: Mine\n  licence: internal\n  lesion_values: {lesion_values}\n{sources}\n"
    )


@pytest.mark.parametrize(
    ("lesion_values", "meant"), [((1, 2), (0, 1, 1)), ((2,), (0, 0, 1)), ((0,), (1, 0, 0))]
)
def test_lesion_values_of_the_data_set_reach_from_its_entry_to_the_scores(
    project, lesion_values, meant
):
    masks = [labelled(0, 1, 2), two(0, 1), two(0, 2), two(0, 0)]
    table = np.array(meant, bool)
    described(str(list(lesion_values)))
    said = project.run(*(pair(png(mask), table[mask]) for mask in masks), source="mine")
    assert "note: 6 × mask by lesion values (metrics/data.csv)" in said
    project.require_agreement()


def test_lesion_values_that_no_mask_has_stop_with_the_values_that_there_are(project):
    described("[7]")
    text = project.refusal(*[pair(png(labelled(0, 1, 2)))] * 3, source="mine", max_empty=0.1)
    assert "3 of 3 masks of the train split have no lesion" in text
    assert "0 and 1 and 2 in 3" in text and "lesion_values" in text


def test_three_values_stop_the_stage_by_name_and_shares(project):
    labels = labelled(0, 1, 2)
    text = project.refusal(pair(KINDS["0 and 1"]), pair(png(labels)))
    assert "train1: mask: 3 separate values, 0 (" in text
    assert f"2 ({(labels == 2).mean():.1%})" in text and "lesion_values: [1, 2]" in text


# Photographs that EXIF turns


def disc(orientation: int, size: tuple[int, int], drawn_on_stored: bool, place: int = 0) -> Pair:
    """A photograph of a dark disc off the middle, turned by EXIF, and a mask of either kind."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    centre = (0.3 + 0.03 * place) * height, (0.65 - 0.02 * place) * width
    lesion = np.hypot(rows - centre[0], columns - centre[1]) < 0.15 * min(size)
    image, _ = lesion_image(3 + place, height, width)
    image = np.where(lesion[..., None], image // 3, image // 2 + 110).astype(np.uint8)
    content = jpeg(stored(image, orientation), exif=exif(orientation), quality=90)
    return Pair(
        content, encode_mask(stored(lesion, orientation) if drawn_on_stored else lesion), lesion
    )


SQUARE, OBLONG = (72, 72), (60, 80)


@pytest.mark.parametrize("drawn_on_stored", [False, True])
@pytest.mark.parametrize("size", [SQUARE, OBLONG])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_fits_its_photograph_however_it_was_drawn(
    project, orientation, size, drawn_on_stored
):
    said = project.run(disc(orientation, size, drawn_on_stored))
    project.require_agreement()
    turned = ["note: 3 × turned by EXIF (metrics/data.csv)"] * (orientation > 1)
    if orientation > 1 and drawn_on_stored:
        turned.insert(0, "note: 3 × mask turned as its image (metrics/data.csv)")
    assert said[1:-1] == turned


@pytest.mark.parametrize("size", [SQUARE, OBLONG])
def test_of_a_mixed_data_set_each_pair_is_read_by_its_own_evidence(project, size):
    pairs = [disc(o, size, drawn, o) for drawn in (False, True) for o in ORIENTATIONS]
    project.run(*pairs)
    project.require_agreement()


def faint(orientation: int, drawn_on_stored: bool) -> Pair:
    """As `disc`, of a photograph whose colours say nothing of the lesion."""
    pair = disc(orientation, SQUARE, drawn_on_stored)
    noise = np.random.default_rng(orientation).integers(90, 110, (*SQUARE, 3), np.uint8)
    return Pair(png(noise, exif=exif(orientation)), pair.mask, pair.lesion)


@pytest.mark.parametrize("drawn_on_stored", [False, True])
@pytest.mark.parametrize("size", [SQUARE, OBLONG])
def test_where_the_colours_do_not_tell_the_other_pairs_do(project, size, drawn_on_stored):
    project.run(*(disc(6, size, drawn_on_stored, n) for n in range(3)), faint(3, drawn_on_stored))
    project.require_agreement()
    notes = project.table.loc["train3", "notes"]
    assert ("mask turned as its image" in notes) == drawn_on_stored


def test_where_nothing_tells_how_a_mask_was_drawn_it_is_refused_with_a_way_on(project):
    text = project.refusal(disc(1, SQUARE, False), faint(3, True), max_rejected=0)
    assert "train1: mask: its EXIF turns the image (orientation 3)" in text and "expected" in text
    mixed = [disc(6, OBLONG, False), disc(6, OBLONG, True), faint(3, True)]
    assert "train2: mask: its EXIF" in project.refusal(*mixed)


def test_masks_that_are_the_same_either_way_need_no_evidence(project):
    pair = faint(3, False)
    for lesion in (np.zeros(SQUARE, bool), np.pad(np.ones((36, 36), bool), 18)):
        project.run(Pair(pair.image, encode_mask(lesion), lesion))
        project.require_agreement()


@pytest.mark.parametrize("own", ORIENTATIONS)
def test_the_masks_own_exif_tells_how_it_was_drawn(project, own):
    pair = faint(3, False)
    levels = stored(pair.lesion.astype(np.uint8) * 255, own)
    project.run(Pair(pair.image, png(levels, exif=exif(own)), pair.lesion))
    project.require_agreement()


@pytest.mark.parametrize("drawn_on_stored", [False, True])
def test_a_tiff_that_is_turned_by_its_tag_is_no_exception(project, drawn_on_stored):
    pair = disc(3, SQUARE, drawn_on_stored)
    image = Image.open(io.BytesIO(pair.image))
    project.run(Pair(encoded(image, "TIFF", exif=exif(3)), pair.mask, pair.lesion))
    project.require_agreement()
