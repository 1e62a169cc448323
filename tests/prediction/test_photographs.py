import os
from pathlib import Path

import pytest

from lesion.photos.members import pack
from lesion.pipeline.errors import ImageError, InputError
from lesion.prediction.photographs import Source, find_sources
from lesion.synthetic import lesion_image
from picture_files import jpeg

CONTENT = jpeg(lesion_image(0, 20, 30)[0])
MEANT = ["b.jpg", "a.JPG", "of/one/patient.png", "strange.dcm"]
PASSED_OVER = ["README.md", ".DS_Store", "__MACOSX/a.jpg", "b_segmentation.png", "notes.csv"]


@pytest.fixture(params=["folder", "archive"])
def place(request, tmp_path) -> Path:
    """Photographs and what lies beside them, as a folder or as a zip archive."""
    if request.param == "archive":
        pack(tmp_path / "all.zip", [(name, CONTENT) for name in [*MEANT, *PASSED_OVER]])
        return tmp_path / "all.zip"
    for name in [*MEANT, *PASSED_OVER]:
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_bytes(CONTENT)
    return tmp_path / "all"


def refusal(source: Source) -> str:
    with pytest.raises(ImageError) as error:
        source.read()
    return str(error.value)


def test_all_that_may_be_a_photograph_is_found_by_name(place):
    sources = find_sources([place])
    assert [source.name for source in sources] == sorted(MEANT)
    assert [source.id for source in sources] == ["a", "b", "of/one/patient", "strange"]
    assert all(source.read() == CONTENT for source in sources)


def test_a_file_is_meant_whatever_it_is_called(tmp_path):
    path = tmp_path / "X_segmentation.txt"
    path.write_bytes(CONTENT)
    (source,) = find_sources([path])
    assert source.id == "X_segmentation" and source.read() == CONTENT


def test_places_come_one_after_the_other(place, tmp_path):
    path = tmp_path / "0.jpg"
    path.write_bytes(CONTENT)
    sources = find_sources([place, path])
    assert [source.id for source in sources][-1] == "0" and len(sources) == len(MEANT) + 1
    assert len(find_sources([path, path, place, place])) == len(MEANT) + 1


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("x/a.jpg", "x/a.tif")])
def test_two_that_would_have_one_mask_are_named(names, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)
    with pytest.raises(InputError) as error:
        find_sources([tmp_path])
    assert all(name in str(error.value) for name in names)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None])
def test_a_place_without_photographs_is_told(make, tmp_path):
    make(tmp_path / "there")
    with pytest.raises(InputError, match=r"there: (found no photographs|not found)"):
        find_sources([tmp_path / "there"])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: path.symlink_to("nowhere"), "a link to nothing"),
        (lambda path: os.mkfifo(path), "a FIFO"),
        (lambda path: path.symlink_to("."), "a folder"),
    ],
    ids=["dangling", "fifo", "folder"],
)
def test_what_is_no_file_is_refused_when_it_is_read(make, words, tmp_path):
    make(tmp_path / "a.jpg")
    (source,) = find_sources([tmp_path])
    assert words in refusal(source)


@pytest.mark.parametrize("name", ["/a.jpg", "C:/a.jpg", "C:\\a.jpg"])
def test_a_member_that_leads_out_of_its_archive_is_refused(name, tmp_path):
    pack(tmp_path / "a.zip", [(name, CONTENT)])
    (source,) = find_sources([tmp_path / "a.zip"])
    assert "leads out" in refusal(source)


@pytest.mark.parametrize("name", ["=cmd.jpg", "a\nb.jpg", "x\u202egpj.jpg", "n" * 220 + ".jpg"])
def test_names_that_tables_or_file_systems_cannot_hold_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(CONTENT)
    (source,) = find_sources([tmp_path])
    assert "its name" in refusal(source)


def test_the_version_changes_with_the_file(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(CONTENT)
    (before,) = find_sources([path])
    path.write_bytes(CONTENT + b"1")
    (after,) = find_sources([path])
    assert before.version != after.version and before.id == after.id
