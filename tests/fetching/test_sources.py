"""A data set's images and masks: from folders, archives here, and some pairs of a server's."""

import io
import re
import resource
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from archive_server import Fault, Server, described, serving
from lesion.fetching import fetch
from lesion.fetching.datasets import Dataset, Folder, SplitSources
from lesion.fetching.sources import gather
from lesion.formats.splits import sample_of
from lesion.photos.members import ArchiveMembers, FolderMembers
from lesion.pipeline.errors import InputError
from project import without_utf8_flag

pytestmark = pytest.mark.long

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
A, B = f"{IMAGES}.zip", f"{MASKS}.zip"
COUNT, IMAGE_BYTES, MASK_BYTES = 150, 28_000, 1_000
IDS = [f"ISIC_{i:07d}" for i in range(COUNT)]


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def official(ids: list[str]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Members in the official layout, of random bytes: a thousandth of the real ones' size."""
    rng = np.random.default_rng(0)
    images = {f"{IMAGES}/{name}.jpg": rng.bytes(IMAGE_BYTES) for name in ids}
    masks = {f"{MASKS}/{name}_segmentation.png": rng.bytes(MASK_BYTES) for name in ids}
    for members, top in ((images, IMAGES), (masks, MASKS)):
        members |= {f"{top}/LICENSE.txt": b"CC0-1.0", f"{top}/ATTRIBUTION.txt": b"Nobody"}
    return images, masks


IMAGE_MEMBERS, MASK_MEMBERS = official(IDS)
IMAGE_ARCHIVE, MASK_ARCHIVE = zipped(IMAGE_MEMBERS), zipped(MASK_MEMBERS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Serves the archives A and B to tests that run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "LESION_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.put(A, IMAGE_ARCHIVE)
        server.put(B, MASK_ARCHIVE)
        yield server


@pytest.fixture
def dataset(server: Server) -> Dataset:
    return described(server, A, B)


def some(dataset: Dataset, limit: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """A sample of images and masks: what is kept of them."""
    sides = gather(dataset, limit, Path("data"), pauses=(0, 0))["train"]
    (images,), (masks,) = sides
    chosen = sample_of(IDS, limit)
    return (
        {name: images.read(name) for name in (f"{IMAGES}/{i}.jpg" for i in chosen)},
        {name: masks.read(name) for name in (f"{MASKS}/{i}_segmentation.png" for i in chosen)},
    )


def are_right(images: dict[str, bytes], masks: dict[str, bytes], limit: int) -> bool:
    assert len(images) == len(masks) == limit
    return images.items() <= IMAGE_MEMBERS.items() and masks.items() <= MASK_MEMBERS.items()


def refusal(dataset: Dataset, limit: int) -> str:
    with pytest.raises(InputError) as error:
        gather(dataset, limit, Path("data"), pauses=())
    return str(error.value)


def kept() -> list[str]:
    return sorted(p.name for p in Path("downloads").glob("*.members/**/*") if p.is_file())


def test_20_of_150_cost_less_than_2_percent_beyond_themselves(
    server: Server, dataset: Dataset
) -> None:
    assert are_right(*some(dataset, 20), 20)
    wanted = 20 * (IMAGE_BYTES + MASK_BYTES)
    beyond = server.sent.total() - wanted
    assert 0 < beyond < 0.02 * (len(IMAGE_ARCHIVE) + len(MASK_ARCHIVE))
    assert {request.method for request in server.requests} == {"GET"}


def test_30_after_20_cost_10_more(server: Server, dataset: Dataset) -> None:
    some(dataset, 20)
    server.requests.clear()
    assert are_right(*some(dataset, 30), 30)
    directories = 4
    assert len(server.gets()) == directories + 10 + 10
    server.requests.clear()
    assert are_right(*some(dataset, 10), 10)
    assert len(server.gets()) == directories


def test_a_run_that_failed_is_gone_on_with(server: Server, dataset: Dataset) -> None:
    server.fail(A, *[Fault()] * 6, Fault(status=404))
    refusal(dataset, 20)
    there = len(kept())
    assert 4 <= there < 42
    server.requests.clear()
    assert are_right(*some(dataset, 20), 20)
    assert len(server.gets()) == 4 + 2 * (20 + 2) - there


def test_faults_on_the_way_do_no_harm(server: Server, dataset: Dataset) -> None:
    server.fail(A, Fault(), Fault(status=500), Fault(), Fault(), Fault(cut=5000), Fault(status=503))
    server.fail(B, Fault(cut=0), Fault(), Fault(cut=30), Fault(), Fault(), Fault(cut=100))
    assert are_right(*some(dataset, 20), 20)


def test_a_mask_archive_that_is_missing_ends_it_with_its_address(
    server: Server, dataset: Dataset
) -> None:
    server.fail_always(B, Fault(status=404))
    assert f"{server.url}/{B}: could not be read in parts: 404" in refusal(dataset, 3)


def test_an_archive_of_another_size_is_refused(server: Server, dataset: Dataset) -> None:
    server.put(A, zipped({"x.jpg": b""}))
    assert f"{server.url}/{A}: found" in refusal(dataset, 3)
    assert not kept()


def test_an_archive_that_is_here_is_not_requested(server: Server, dataset: Dataset) -> None:
    Path("data").mkdir()
    Path("data", A).write_bytes(IMAGE_ARCHIVE)
    (images,), (masks,) = gather(dataset, 3, Path("data"))["train"]
    assert isinstance(images, ArchiveMembers) and images.place == Path("data", A)
    for name in sample_of(IDS, 3):
        assert masks.read(f"{MASKS}/{name}_segmentation.png") in MASK_MEMBERS.values()
    assert not server.gets(A) and server.sent[B] < 0.3 * len(MASK_ARCHIVE)


def test_every_split_is_fetched(server: Server) -> None:
    names = [f"{letter}.zip" for letter in "abcdef"]
    for i, name in enumerate(names):
        suffix = "_segmentation.png" if i % 2 else ".jpg"
        server.put(name, zipped({f"{j}{suffix}": f"{i} {j}".encode() * 50 for j in range(9)}))
    sources = gather(described(server, *names), 2, Path("data"), pauses=())
    assert list(sources) == ["train", "validation", "test"]
    for i, ((images,), (masks,)) in enumerate(sources.values()):
        for j in sample_of("012345678", 2):
            assert images.read(f"{j}.jpg") == f"{2 * i} {j}".encode() * 50
            assert masks.read(f"{j}_segmentation.png") == f"{2 * i + 1} {j}".encode() * 50
    assert len(kept()) == 12


def test_images_and_masks_may_lie_in_one_archive_on_the_server(server: Server) -> None:
    pairs = {f"{i}.jpg": b"image %d" % i * 500 for i in range(5)}
    pairs |= {f"{i}_segmentation.png": b"mask %d" % i * 500 for i in range(5)}
    server.put("both.zip", zipped(pairs | {"LICENSE.txt": b"CC0"}))
    dataset = described(server, "both.zip", "both.zip")
    (images,), (masks,) = gather(dataset, 2, Path("data"), pauses=())["train"]
    for i in sample_of("01234", 2):
        assert images.read(f"{i}.jpg") == pairs[f"{i}.jpg"]
        assert masks.read(f"{i}_segmentation.png") == pairs[f"{i}_segmentation.png"]
    assert len(kept()) == 5
    assert len(server.gets()) == 1 + 5  # its directory is read once


@pytest.mark.parametrize("name", ["../A.jpg", "/etc/A.jpg", "..\\A.jpg", "C:\\A.jpg"])
def test_a_name_that_leads_out_of_an_archive_is_refused_before_it_is_fetched(
    server: Server, name: str, tmp_path: Path
) -> None:
    server.put(A, zipped({name: b"image"}))
    server.put(B, zipped({"A_segmentation.png": b"mask"}))
    message = refusal(described(server, A, B), 1)
    assert f"{server.url}/{A}: found {name!r}, which leads out of it" in message
    assert not kept() and not list(tmp_path.rglob("A.jpg"))


def test_images_may_lie_in_several_archives_on_the_server(server: Server) -> None:
    parts = {
        f"{name}.zip": {f"{i}.jpg": f"{name} {i}".encode() * 99 for i in ids}
        for name, ids in (("a", range(5)), ("b", range(5, 9)))
    }
    for name, members in parts.items():
        server.put(name, zipped(members))
    server.put("masks.zip", zipped({f"{i}_segmentation.png": b"mask" for i in range(9)}))
    one = described(server, "a.zip", "masks.zip", "b.zip", "masks.zip")
    train = SplitSources(images=[*one.train.images, *one.validation.images], masks=one.train.masks)
    images, _ = gather(
        one.model_copy(update={"train": train, "validation": None}), 4, Path("data")
    )["train"]
    read = {i: images[int(i) > 4].read(f"{i}.jpg") for i in sample_of("012345678", 4)}
    assert read == {i: f"{'ab'[int(i) > 4]} {i}".encode() * 99 for i in read}
    assert len(kept()) == 8


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_members_that_windows_or_a_mac_packed_are_fetched(server: Server, separator: str) -> None:
    name = f"x{separator}Läsion.jpg"
    server.put(A, without_utf8_flag(zipped({name: b"image"})))
    server.put(B, zipped({f"y{separator}La\u0308sion_segmentation.png": b"mask"}))
    (images,), _ = gather(described(server, A, B), 1, Path("data"))["train"]
    assert images.read(name) == b"image"


def test_a_name_that_is_no_utf_8_ends_it_at_once_with_a_remedy(server: Server) -> None:
    server.put(A, zipped({"ä.jpg": b"image"}).replace("ä".encode(), b"\xff\xff"))
    server.put(B, zipped({"ä_segmentation.png": b"mask"}))
    with pytest.raises(InputError, match=rf"{A}: .*b'\\xff\\xff\.jpg'.*names in UTF-8"):
        gather(described(server, A, B), 1, Path("data"), pauses=(600,))


def test_what_has_to_be_obtained_by_hand_is_named_with_the_way(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand = dataset.model_copy(update={"base_url": None, "obtain": "ask the clinic"})
    none_free = shutil.disk_usage(".")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: none_free)
    for limit in (0, 1):
        assert refusal(by_hand, limit).endswith(f"downloads/{A}: not found; ask the clinic")
    folders = in_folders(images="i", masks="m").model_copy(update={"obtain": "ask us"})
    assert refusal(folders, 0) == "data/i: not found; ask us"


def test_too_little_room_is_refused_before_a_member_is_fetched(
    server: Server, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = sum(len(content) for content in (b"CC0-1.0", b"Nobody"))
    needed = 5 * (IMAGE_BYTES + MASK_BYTES) + 2 * notes + fetch.SPARE
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    assert "make room" in refusal(dataset, 5)
    assert not kept()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    assert are_right(*some(dataset, 5), 5)


def test_a_disk_that_fills_up_is_named_and_no_half_member_is_kept(
    server: Server, dataset: Dataset
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (IMAGE_BYTES // 2, limits[1]))
    try:
        message = refusal(dataset, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.fullmatch(
        r"downloads/\S+\.jpg: File too large.*; what was downloaded is kept.*", message
    )
    assert not [name for name in kept() if "jpg" in name]
    assert are_right(*some(dataset, 5), 5)


def in_folders(**folders: str) -> Dataset:
    split = SplitSources(**{kind: Folder(folder=folder) for kind, folder in folders.items()})
    return Dataset(title="Ours", licence="internal", mask_suffix="_m", train=split)


@pytest.mark.parametrize("limit", [0, 1])
def test_folders_are_used_where_they_lie(server: Server, limit: int) -> None:
    for name in ("data/images/A.jpg", "data/masks/A_m.png"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text(name)
    dataset = in_folders(images="images", masks="masks")
    sides = gather(dataset, limit, Path("data"))["train"]
    (images,), (masks,) = sides
    assert isinstance(images, FolderMembers) and isinstance(masks, FolderMembers)
    assert images.read("A.jpg") == b"data/images/A.jpg"
    assert server.requests == []


def test_a_folder_that_is_missing_is_named(server: Server) -> None:
    Path("data/images").mkdir(parents=True)
    Path("data/images/A.jpg").touch()
    message = refusal(in_folders(images="images", masks="masks"), 0)
    assert message.startswith("data/masks: not found; expected the folder that datasets.yaml names")
