import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import download
import preprocess
from lesion.formats.arrays import load_arrays, load_index
from lesion.formats.splits import SPLITS, assign_splits
from lesion.photos.archives import ArchiveReader
from lesion.photos.convert import convert
from lesion.photos.images import encode_mask
from lesion.photos.masks import decode_mask
from lesion.photos.members import pack
from lesion.photos.placement import Placement, from_square
from lesion.pipeline import parallel
from lesion.pipeline.errors import InputError
from lesion.scoring.scores import Confusion
from lesion.synthetic import lesion_image
from project import ROOT, set_params

pytestmark = pytest.mark.long

NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


@dataclass(frozen=True)
class Files:
    """The files of a pair, as they lie in the archives."""

    image: bytes
    mask: bytes


def drawn(seed: int, height: int = 60, width: int = 80) -> Files:
    image, mask = lesion_image(seed, height, width)
    return Files(jpeg(image), encode_mask(mask))


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copied(seed: int) -> Files:
    """The same photograph as `drawn(seed)` in two thirds of its size, darker, compressed anew."""
    image, mask = lesion_image(seed, 60, 80)
    small = cv2.resize(image, (54, 40), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask.astype(np.uint8), (54, 40), interpolation=cv2.INTER_AREA) > 0
    return Files(jpeg((small * 0.9).astype(np.uint8), 70), encode_mask(mask))


class Project:
    """A folder with parameters and made-up archives, in which stages run in this process."""

    def __init__(self, folder: Path, say: Callable[[], str]) -> None:
        self.folder, self._said = folder, say

    def data(self, metadata: str = "", **splits: dict[str, Files]) -> None:
        """Puts pairs, by their ids, where the preprocess stage reads them; what is known of them
        as the ISIC archive's table."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        (self.folder / "data").mkdir()
        for split, pairs in splits.items():
            images = [(f"in/{name}.jpg", files.image) for name, files in pairs.items()]
            masks = [(f"{name}_segmentation.png", files.mask) for name, files in pairs.items()]
            pack(self.folder / f"data/X_{NAMES[split]}_Input.zip", images)
            pack(self.folder / f"data/X_{NAMES[split]}_GroundTruth.zip", masks)
        if metadata:
            (self.folder / "data/metadata.csv").write_text(metadata)
        download.main()
        self._said()

    def run(self, **knobs: object) -> str:
        """What the stage prints."""
        set_params(self.folder, **knobs)
        preprocess.main()
        return self._said()

    def refusal(self, **knobs: object) -> str:
        with pytest.raises(InputError) as error:
            self.run(**knobs)
        return str(error.value)

    @property
    def table(self) -> pd.DataFrame:
        """metrics/data.csv by id."""
        table = pd.read_csv(self.folder / "metrics/data.csv", dtype={"id": str, "twin": str})
        return table.set_index("id")

    @property
    def report(self) -> dict:
        return json.loads((self.folder / "metrics/data.json").read_text())

    @property
    def ids(self) -> dict[str, list[str]]:
        """Those in the arrays, by split, in order."""
        return {split: load_index(Path("arrays"), split)["id"].tolist() for split in SPLITS}

    def outputs(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for folder in ("arrays", "metrics")
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Project:
    for name in ("params.yaml", "datasets.yaml", "exclude.csv"):
        shutil.copy(ROOT / name, tmp_path)
    set_params(tmp_path, data="data", image_size=16, val_fraction=0.3, test_fraction=0.3)
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, lambda: capsys.readouterr().out)


def official(project: Project, **extra: dict[str, Files]) -> None:
    """Three training pairs, one for validation and two for testing, and `extra` ones by split."""
    project.data(
        train={"A1": drawn(1), "A2": drawn(2), "A3": drawn(3)} | extra.get("train", {}),
        validation={"B1": drawn(4)} | extra.get("validation", {}),
        test={"C1": drawn(5), "C2": drawn(6)} | extra.get("test", {}),
    )


def test_official_splits_are_kept_and_the_report_counts_them(project):
    official(project)
    said = project.run()
    assert said == "arrays: 3 train, 1 validation, 2 test\n"
    assert project.ids == {"train": ["A1", "A2", "A3"], "validation": ["B1"], "test": ["C1", "C2"]}
    report = project.report
    assert report["pairs"] == 6 and report["rejected"] == report["left_out"] == 0
    assert report["near_duplicates"] == 0 and report["notes"] == {}
    assert [report[split]["kept"] for split in SPLITS] == [3, 1, 2]
    assert report["train"]["median_width"] == 80
    assert (project.table["state"] == "kept").all() and project.table["reason"].isna().all()
    assert (project.folder / "arrays/rejected.csv").read_text() == "id,split,reason\n"


def test_near_duplicates_stay_on_one_side_of_seeded_splits(project):
    originals = {f"A{seed:02}": drawn(seed) for seed in range(12)}
    copies = {f"B{seed:02}": copied(seed) for seed in range(12)}
    project.data(train=originals | copies)
    said = project.run(split_seed=1)
    assert "warning" not in said
    splits, twins = project.table["split"], project.table["twin"]
    assert set(splits) == set(SPLITS)
    by_id = assign_splits(dict.fromkeys(originals | copies, "train"), 0.3, 0.3, 1)
    assert any(by_id[f"A{seed:02}"] != by_id[f"B{seed:02}"] for seed in range(12))
    for seed in range(12):
        one, other = f"A{seed:02}", f"B{seed:02}"
        assert splits[one] == splits[other] == by_id[one]
        assert (twins[one], twins[other]) == (other, one)
    assert project.report["near_duplicates"] == 24
    assert project.report["near_duplicates_across_splits"] == 0


def patients(ids: list[str], images: int) -> str:
    """The ISIC archive's table, so many images in a row being of one patient."""
    rows = [f"{name},IP_{number // images}" for number, name in enumerate(ids)]
    return "\n".join(["isic_id,patient_id", *rows]) + "\n"


@pytest.mark.parametrize("folds", [0, 3])
def test_images_of_a_patient_stay_on_one_side_of_every_split(folds, project):
    ids = [f"A{seed:02}" for seed in range(24)]
    project.data(patients(ids, 3), train={name: drawn(seed) for seed, name in enumerate(ids)})
    project.run(split_seed=3, folds=folds)
    table = project.table
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert table["group"].nunique() == project.report["groups"] == 8
    assert project.report["groups_across_splits"] == 0 and set(table["split"]) == set(SPLITS)


def test_patients_across_official_splits_are_counted(project):
    ids = ["A1", "A2", "A3", "B1", "C1", "C2"]
    project.data(
        patients(ids, 2),
        train={name: drawn(seed) for seed, name in enumerate(ids[:3])},
        validation={"B1": drawn(4)},
        test={"C1": drawn(5), "C2": drawn(6)},
    )
    project.run()
    assert project.report["groups"] == 3 and project.report["groups_across_splits"] == 1
    assert project.ids["train"] == ["A1", "A2", "A3"]


def leaks() -> dict[str, dict[str, Files]]:
    """Copies in the training split of a validation and of a test image, and copies within."""
    return {
        "train": {"A4": copied(4), "A5": copied(5), "A9": copied(3)},
        "test": {"C9": copied(6)},
    }


def test_near_duplicates_across_official_splits_are_reported_and_warned_of(project):
    official(project, **leaks())
    said = project.run(drop_leaks="false")
    assert "warning: 4 images nearly equal one of another split (metrics/data.csv); 0 were" in said
    report = project.report
    assert report["near_duplicates"] == 8 and report["near_duplicates_across_splits"] == 4
    assert report["left_out"] == 0 and report["train"]["kept"] == 6
    table = project.table
    across = table[table["twin"].notna() & (table["twin_split"] != table["split"])]
    assert dict(across["twin"]) == {"A4": "B1", "A5": "C1", "B1": "A4", "C1": "A5"}
    assert dict(across["twin_split"]) == {
        "A4": "validation",
        "A5": "test",
        "B1": "train",
        "C1": "train",
    }
    assert table["twin_bits"].dropna().between(0, 46).all()
    assert table.loc["A3", "twin"] == "A9" and table.loc["C2", "twin"] == "C9"
    assert project.ids["train"] == ["A1", "A2", "A3", "A4", "A5", "A9"]


def test_drop_leaks_leaves_the_training_ones_out_and_no_other(project):
    official(project, **leaks())
    said = project.run(drop_leaks="true")
    assert said.startswith("arrays: 4 train, 1 validation, 3 test\n")
    assert "warning: 4 images" in said and "2 were left out of training" in said
    assert project.ids == {
        "train": ["A1", "A2", "A3", "A9"],
        "validation": ["B1"],
        "test": ["C1", "C2", "C9"],
    }
    table = project.table
    assert table.index[table["state"] == "left out"].tolist() == ["A4", "A5"]
    assert project.report["left_out"] == 2 and project.report["train"]["kept"] == 4
    for split in SPLITS:
        images, masks = load_arrays(Path("arrays"), split)
        assert len(images) == len(masks) == len(project.ids[split])


def test_drop_leaks_leaves_nothing_out_of_validation_and_test(project):
    official(project, validation={"B9": copied(5)})
    project.run(drop_leaks="true")
    assert project.ids["validation"] == ["B1", "B9"] and project.ids["test"] == ["C1", "C2"]
    assert project.report["left_out"] == 0
    assert project.report["near_duplicates_across_splits"] == 2


def test_in_cross_validation_each_training_image_is_tested_on_once(project):
    project.data(train={f"A{seed:02}": drawn(seed) for seed in range(12)})
    tested = []
    for fold in range(3):
        project.run(folds=3, fold=fold, split_seed=1)
        tested += project.ids["test"]
        everywhere = [name for names in project.ids.values() for name in names]
        assert sorted(everywhere) == [f"A{seed:02}" for seed in range(12)]
    assert sorted(tested) == [f"A{seed:02}" for seed in range(12)]


def test_in_cross_validation_official_test_images_are_left_out(project):
    official(project, train={f"D{seed:02}": drawn(20 + seed) for seed in range(6)})
    project.run(folds=2, fold=0, split_seed=3)
    table = project.table
    assert table.index[table["state"] == "left out"].tolist() == ["C1", "C2"]
    assert project.ids["validation"] == ["B1"] and "C1" not in project.ids["test"]


def original(row: tuple) -> Files:
    with ArchiveReader(Path("raw")) as archives:
        return Files(
            archives.read(row.image_archive, row.image), archives.read(row.mask_archive, row.mask)
        )


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_rows_of_arrays_and_index_are_in_one_order_and_undone_masks_are_the_originals(
    project, policy
):
    sizes = [(60, 80), (80, 60), (64, 64), (48, 96)]
    pairs = {f"X{(7 * seed) % 10}{seed}": drawn(seed, *sizes[seed % 4]) for seed in range(10)}
    project.data(train=pairs)
    project.run(resize=policy, image_size=48)
    ids = project.ids
    in_order = [name for split in SPLITS for name in ids[split]]
    assert sorted(in_order) == sorted(pairs) and all(ids.values())
    assert in_order == project.table.index.tolist()
    for split in SPLITS:
        images, masks = load_arrays(Path("arrays"), split)
        index = load_index(Path("arrays"), split)
        assert images.shape == (len(index), 48, 48, 3) and masks.shape == (len(index), 48, 48)
        for row, image, mask in zip(index.itertuples(), images, masks, strict=True):
            files = original(row)
            assert files == pairs[row.id]
            again = convert(files.image, files.mask, policy, 48)
            assert np.array_equal(image, again.image) and np.array_equal(mask, again.mask)
            assert (row.height, row.width) == again.shape
            placement = Placement.from_row(row)
            assert placement == again.placement
            truth = decode_mask(files.mask)
            back = from_square(mask.astype(np.float32), placement, *truth.shape) >= 0.5
            shown = np.zeros(truth.shape, bool)
            shown[placement.source.slices] = True
            assert not back[~shown].any()
            assert Confusion.between(back, truth & shown).dice > 0.9
            assert project.table.loc[row.id, "lesion_share"] == round(truth.mean(), 6)


def test_ids_that_look_like_numbers_or_nothing_stay_as_they_are(project):
    names = ["007", "1e5", "NA", "null", "None"]
    project.data(
        train={name: drawn(i) for i, name in enumerate(names)},
        validation={"0": drawn(10)},
        test={"nan": drawn(11)},
    )
    project.run()
    assert project.ids == {"train": sorted(names), "validation": ["0"], "test": ["nan"]}


def damaged() -> Files:
    return Files(drawn(9).image[:-100], drawn(9).mask)


def test_rejected_pairs_are_listed_with_their_reason_and_the_others_are_kept(project):
    official(
        project,
        train={"A0": damaged(), "A4": Files(drawn(9).image, drawn(9, 60, 81).mask)},
        test={"C0": Files(b"<html>", drawn(9).mask)},
    )
    said = project.run(max_rejected=0.4)
    assert said == "arrays: 3 train, 1 validation, 2 test\n"
    assert project.ids == {"train": ["A1", "A2", "A3"], "validation": ["B1"], "test": ["C1", "C2"]}
    rejected = pd.read_csv(project.folder / "arrays/rejected.csv")
    assert list(rejected.columns) == ["id", "split", "reason"]
    assert rejected["id"].tolist() == ["A0", "A4", "C0"]
    assert rejected["split"].tolist() == ["train", "train", "test"]
    assert rejected["reason"].tolist() == [
        "image: Premature end of JPEG file",
        "image 80×60, mask 81×60; expected one size",
        "image: not an image: its 6 bytes begin b'<html>'",
    ]
    table = project.table
    assert table["state"].tolist().count("rejected") == 3
    assert table.loc["A0", "reason"] == "image: Premature end of JPEG file"
    assert project.report["rejected"] == 3
    for row, image in zip(
        load_index(Path("arrays"), "test").itertuples(),
        load_arrays(Path("arrays"), "test")[0],
        strict=True,
    ):
        files = original(row)
        assert np.array_equal(image, convert(files.image, files.mask, "stretch", 16).image)


def test_the_report_is_written_even_where_the_stage_stops(project):
    official(project, train={"A0": damaged()})
    text = project.refusal(max_rejected=0.0)
    assert text.startswith("raw: 1 of 7 pairs cannot be used, the first being A0: image: Premature")
    assert "metrics/data.csv" in text and "max_rejected (now 0.0)" in text
    assert not (project.folder / "arrays").exists()
    assert project.table.loc["A0", "state"] == "rejected" and len(project.table) == 7
    assert project.report["rejected"] == 1
    assert not list(project.folder.glob(".*"))


def test_as_many_pairs_may_be_rejected_as_max_rejected_says(project):
    official(project, train={"A0": damaged(), "A4": drawn(7)})
    assert "1 of 8 pairs" in project.refusal(max_rejected=0.12)
    project.run(max_rejected=0.125)
    assert len(project.ids["train"]) == 4


def test_a_data_set_of_which_nothing_can_be_used_is_refused(project):
    project.data(train={"A": damaged(), "B": damaged()})
    assert "2 of 2 pairs cannot be used" in project.refusal()
    assert project.report["rejected"] == 2
    assert "2 of 2 pairs cannot be used" in project.refusal(max_rejected=0.99)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_a_usable_pair_is_refused_by_name(project, split):
    pairs = {name: {name: drawn(seed)} for seed, name in enumerate(SPLITS)}
    pairs[split] = {split: damaged()}
    project.data(**pairs)
    assert f"falls into the {split} split" in project.refusal(max_rejected=0.9)
    assert project.report["rejected"] == 1


def test_a_refused_data_set_leaves_the_arrays_of_the_one_before(project):
    official(project)
    project.run()
    arrays = {name: content for name, content in project.outputs().items() if "arrays" in name}
    official(project, train={"A0": damaged()})
    project.refusal()
    assert {name: project.outputs()[name] for name in arrays} == arrays


def test_pairs_that_are_not_listed_are_refused_by_the_name_of_the_list(project):
    assert project.refusal().startswith("raw/index.csv: not found; run `dvc repro`")


def test_an_archive_that_is_gone_is_refused_by_name(project):
    official(project)
    (project.folder / "raw/X_Test_Input.zip").unlink()
    assert "raw/X_Test_Input.zip: not found" in project.refusal()


def test_notes_are_counted_and_said(project):
    grey = Files(jpeg(lesion_image(7, 60, 80)[0][..., 0]), drawn(7).mask)
    empty = Files(drawn(8).image, encode_mask(np.zeros((60, 80), bool)))
    both = Files(jpeg(lesion_image(9, 60, 80)[0][..., 0]), empty.mask)
    official(project, train={"A7": grey, "A8": empty, "A9": both})
    said = project.run(max_empty=0.4)
    assert said.splitlines()[1:] == [
        "note: 2 × grey (metrics/data.csv)",
        "note: 2 × no lesion (metrics/data.csv)",
    ]
    assert project.report["notes"] == {"grey": 2, "no_lesion": 2}
    notes = project.table["notes"].dropna()
    assert dict(notes) == {"A7": "grey", "A8": "no lesion", "A9": "grey; no lesion"}


def even(seed: int, lesion: bool) -> Files:
    return Files(drawn(seed).image, encode_mask(np.full((60, 80), lesion)))


@pytest.mark.parametrize(("lesion", "words"), [(False, "no lesion"), (True, "all lesion")])
@pytest.mark.parametrize("split", SPLITS)
def test_more_masks_without_an_edge_than_max_empty_allows_stop_by_split(
    project, split, lesion, words
):
    value = 255 * lesion
    official(project, **{split: {f"E{n}": even(10 + n, lesion) for n in range(2)}})
    text = project.refusal()
    count = len(project.table[project.table["split"] == split])
    assert f"2 of {count} masks of the {split} split have {words}, the first being E0" in text
    assert f"(their values: {value} in 2)" in text and "lesion_values" in text
    assert "max_empty allows" in text and "(now 0.1)" in text
    assert not (project.folder / "arrays").exists() and project.report["pairs"] == 8
    project.run(max_empty=2 / count)
    assert len(project.ids[split]) == count


def test_one_mask_without_a_lesion_stops_no_split_that_has_others(project):
    official(project, validation={"E": even(10, False)}, test={"F": even(11, True)})
    project.run(max_empty=0.0)


def test_a_split_whose_only_mask_has_no_lesion_stops(project):
    project.data(train={"A1": drawn(1)}, validation={"B1": drawn(2)}, test={"C1": even(3, False)})
    assert "1 of 1 masks of the test split have no lesion" in project.refusal()
    project.run(max_empty=1.0)


def test_rows_and_thumbnails_go_together_where_pairs_are_read_again(project):
    """Masks that the others decide are converted twice; one that nothing decides is dropped."""
    grey = [np.where(decode_mask(drawn(n).mask), 200, 100).astype(np.uint8) for n in range(6)]
    grey[1][:], grey[3][:] = 100, 50  # skin, and what nobody knows
    pairs = {
        f"A{n}": Files(drawn(n).image, cv2.imencode(".png", mask)[1].tobytes())
        for n, mask in enumerate(grey)
    }
    project.data(train=pairs | {"A9": copied(4)}, validation={"B": copied(5)}, test={"C": drawn(7)})
    project.run(max_rejected=0.5, drop_leaks="false")
    assert project.ids["train"] == ["A0", "A1", "A2", "A4", "A5", "A9"]
    images, masks = load_arrays(Path("arrays"), "train")
    for name, image, mask in zip(project.ids["train"], images, masks, strict=True):
        files = pairs.get(name) or copied(4)
        again = convert(files.image, files.mask, "stretch", 16)
        assert np.array_equal(image, again.image)
        assert np.array_equal(mask, np.zeros_like(mask) if name == "A1" else again.mask)
    assert project.table["twin"].dropna().to_dict() == {
        "A4": "A9",
        "A9": "A4",
        "A5": "B",
        "B": "A5",
    }


def test_outputs_are_the_same_bytes_for_any_number_of_threads_and_again(project, monkeypatch):
    pairs = {f"A{seed:02}": drawn(seed, 60 + seed, 80) for seed in range(14)}
    project.data(train=pairs | {"B00": copied(3), "B01": damaged()})
    outputs = []
    for threads in (1, 2, 5, 2):
        monkeypatch.setattr(parallel, "cores", lambda count=threads: count)
        project.run(max_rejected=0.1)
        outputs.append(project.outputs())
    assert len(outputs[0]) == 10  # six arrays, two lists, two reports
    assert all(output == outputs[0] for output in outputs)


def excluding(project: Project, *rows: str, header: str = "id,verdict,reason") -> None:
    (project.folder / "exclude.csv").write_text("\n".join([header, *rows]) + "\n")


def test_what_a_person_leaves_out_is_not_trained_on_and_stays_where_it_is_scored(project):
    official(project)
    project.run()
    before = project.outputs()
    rows = ["A1,leave out,wide polygon", "A2,keep,", "A3,unsure,", "B1,leave out,", "C2,leave out,"]
    excluding(project, *rows)
    said = project.run()
    assert "exclude.csv: left out of training: 1, kept, as they are of validation: 1" in said
    assert project.ids == {"train": ["A2", "A3"], "validation": ["B1"], "test": ["C1", "C2"]}
    assert project.table.loc["A1", ["state", "reason"]].tolist() == ["excluded", "wide polygon"]
    notes = project.table["notes"]
    assert notes[notes == "excluded but scored"].index.tolist() == ["B1", "C2"]
    assert project.report["excluded"] == 1 and project.report["train"]["kept"] == 2
    excluding(project, "A1,keep,")
    assert "exclude.csv" not in project.run()
    assert project.outputs() == before


def test_what_is_excluded_moves_no_other_image_between_the_splits(project):
    project.data(train={f"A{number}": drawn(number) for number in range(12)})
    project.run()
    before = project.ids
    excluding(project, f"{before['train'][0]},leave out,")
    project.run()
    assert project.ids == before | {"train": before["train"][1:]}


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        (
            ["A9,leave out,"],
            "id,verdict,reason",
            "line 2: found id 'A9', which none of the 6 pairs",
        ),
        (["A1,keep,", "A1,keep,"], "id,verdict,reason", "line 3: A1 is there twice"),
        (
            ["A1,leave_out,"],
            "id,verdict,reason",
            "A1 has verdict 'leave_out'; expected one of keep",
        ),
        (["A1;leave out;"], "id;verdict;reason", "no column id; found 'id;verdict;reason'"),
        (["A1,leave out"], "id,verdict", "no column reason"),
        ([], "", "no column id"),
    ],
)
def test_an_exclusion_that_cannot_be_followed_stops_the_stage(project, rows, header, words):
    official(project)
    excluding(project, *rows, header=header)
    assert words in project.refusal()
    assert "\n" not in project.refusal() and not Path("arrays").exists()


def test_the_file_of_exclusions_is_looked_for_where_the_parameter_says(project):
    official(project)
    assert "other.csv: not found" in project.refusal(exclude="other.csv")
    (project.folder / "other.csv").write_bytes(
        "\ufeffid,verdict,reason,by\r\nA2,leave out,ä,me\r\n".encode()
    )
    project.run(exclude="other.csv")
    assert project.ids["train"] == ["A1", "A3"]
