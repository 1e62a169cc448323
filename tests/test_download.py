"""The stage `download`, from a server to raw/."""

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import download
from archive_server import Fault, Server, described, serving, write_registry
from lesion.fetching.datasets import Dataset, SplitSources
from lesion.formats.splits import sample_of
from lesion.photos.archives import find_archives, find_pairs
from lesion.pipeline.errors import InputError
from project import copy_of_stages, run, set_params

pytestmark = pytest.mark.long

ARCHIVES = [
    f"ISIC2018_Task1{kind.format(split)}.zip"
    for split in ("Training", "Validation", "Test")
    for kind in ("-2_{}_Input", "_{}_GroundTruth")
]


@pytest.fixture
def server(sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Serves the sample to a project in the current folder whose source it is."""
    monkeypatch.chdir(copy_of_stages(tmp_path / "project"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("DVC_ROOT", "LESION_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        for name in ARCHIVES:
            server.put(name, (sample / name).read_bytes())
        write_registry(Path(), isic2018=described(server, *ARCHIVES))
        set_params(Path(), source="isic2018", limit=0)
        yield server


def index() -> pd.DataFrame:
    return pd.read_csv("raw/index.csv")


def refusal() -> str:
    with pytest.raises(InputError) as error:
        download.main()
    assert not Path("raw").exists()
    return str(error.value)


def with_files(dataset: Dataset, **files: int) -> Dataset:
    """The data set with a number of images said of some splits."""
    return dataset.model_copy(
        update={
            split: SplitSources(
                images=getattr(dataset, split).images[0].model_copy(update={"files": count}),
                masks=getattr(dataset, split).masks,
            )
            for split, count in files.items()
        }
    )


def test_a_data_set_comes_whole_from_the_server_once(server: Server, sample: Path) -> None:
    said = run(Path(), "python", "stages/download.py").stdout
    assert said == "pairs: 3 train, 2 validation, 2 test\n"
    for name in ARCHIVES:
        assert Path("raw", name).read_bytes() == (sample / name).read_bytes()
    pairs = find_pairs(find_archives(sample))
    assert index()["id"].tolist() == [pair.id for pair in pairs]
    assert server.sent.total() == sum(len(file.content) for file in server.files.values())
    shutil.rmtree("raw")
    server.requests.clear()
    download.main()
    assert server.requests == [] and len(index()) == 7


def test_a_limit_brings_a_sample_of_the_pairs_of_each_split(server: Server, sample: Path) -> None:
    set_params(Path(), limit=2)
    said = run(Path(), "python", "stages/download.py").stdout
    assert said == "pairs: 2 train, 2 validation, 2 test\n"
    table = index()
    assert table["synthetic"].all()
    for row in table.itertuples():
        for archive, member in ((row.image_archive, row.image), (row.mask_archive, row.mask)):
            official = sample / f"{member.split('/')[0]}.zip"
            with zipfile.ZipFile(Path("raw", archive)) as ours, zipfile.ZipFile(official) as theirs:
                assert ours.read(member) == theirs.read(member)
    assert len(list(Path("raw").iterdir())) == 7


def test_a_limit_changes_nothing_but_the_number(server: Server) -> None:
    set_params(Path(), limit=1)
    download.main()
    one = {path.name: path.read_bytes() for path in Path("raw").glob("*.zip")}
    first = index()
    set_params(Path(), limit=2)
    download.main()
    assert set(first["id"]) < set(index()["id"])
    set_params(Path(), limit=1)
    download.main()
    assert {path.name: path.read_bytes() for path in Path("raw").glob("*.zip")} == one


def test_the_official_names_in_data_do_not_pass_for_the_official_archives(
    server: Server, sample: Path
) -> None:
    Path("data").mkdir()
    for name in ARCHIVES:
        Path("data", name).write_bytes(b"something else")
    assert refusal().startswith(f"data/{ARCHIVES[0]}: found 14 bytes; expected ")


def test_the_official_archives_in_data_are_used(server: Server, sample: Path) -> None:
    shutil.copytree(sample, "data")
    download.main()
    assert len(index()) == 7 and server.requests == []
    assert sorted(path.name for path in Path("downloads").glob("*.zip")) == []


def test_another_number_of_pairs_than_described_is_refused(server: Server) -> None:
    dataset = described(server, *ARCHIVES)
    write_registry(Path(), isic2018=with_files(dataset, train=3, test=4))
    assert "isic2018: found 2 pairs in the test split; expected 4" in refusal()
    set_params(Path(), limit=2)
    download.main()
    set_params(Path(), limit=0)
    write_registry(Path(), isic2018=with_files(dataset, train=3, validation=2, test=2))
    download.main()


def test_what_to_beware_of_is_said(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = described(server, *ARCHIVES, overlaps=["holds the test images of x"])
    images = dataset.train.images[0].model_copy(update={"sha256": None, "bytes": None})
    train = SplitSources(images=images, masks=dataset.train.masks)
    write_registry(Path(), isic2018=dataset.model_copy(update={"train": train}))
    download.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "note: isic2018: holds the test images of x"
    assert said[1].startswith(f"note: {ARCHIVES[0]}: no hash is known")
    assert len(said) == 3


def test_a_source_that_is_not_described_is_refused(server: Server) -> None:
    set_params(Path(), source="isic2081")
    message = refusal()
    assert "'source': found 'isic2081'; expected data (the archives in the folder" in message


def test_a_failure_leaves_no_raw(server: Server) -> None:
    server.fail_always(ARCHIVES[3], Fault(status=403))
    message = refusal()
    assert f"{server.url}/{ARCHIVES[3]}: " in message and "403" in message


def test_a_failure_leaves_an_earlier_raw_as_it_was(server: Server) -> None:
    download.main()
    before = hashlib.sha256(Path("raw/index.csv").read_bytes()).hexdigest()
    shutil.rmtree("downloads")
    server.fail_always(ARCHIVES[0], Fault(status=404))
    with pytest.raises(InputError, match="404"):
        download.main()
    assert hashlib.sha256(Path("raw/index.csv").read_bytes()).hexdigest() == before


@pytest.mark.parametrize("limit", [0, 1])
def test_folders_of_ones_own_come_into_raw(server: Server, sample: Path, limit: int) -> None:
    for kind, name in zip(("images", "masks"), ARCHIVES[:2], strict=True):
        with zipfile.ZipFile(sample / name) as archive:
            archive.extractall(Path("data", kind))
    for mask in Path("data/masks").rglob("*.png"):
        mask.rename(mask.with_name(mask.name.replace("_segmentation", "_lesion")))
    Path("datasets.yaml").write_text(
        "mine:\n  title: Ours\n  licence: internal\n  mask_suffix: _lesion\n  train:\n"
        "    images: {folder: images}\n    masks: {folder: masks}\n"
    )
    set_params(Path(), source="mine", limit=limit)
    download.main()
    assert index()["split"].tolist() == ["train"] * (limit or 3)
    ids = ["ISIC_9000000", "ISIC_9000001", "ISIC_9000002"]
    assert index()["id"].tolist() == sample_of(ids, limit or 3)
    assert server.requests == []


def test_data_is_taken_as_it_is(server: Server, sample: Path) -> None:
    shutil.copytree(sample, "data")
    set_params(Path(), source="data")
    download.main()
    assert len(index()) == 7 and server.requests == []
    set_params(Path(), limit=1)
    download.main()
    assert index()["split"].tolist() == ["train", "validation", "test"]
