"""What the names of files say: images, masks, ids, and what lies beside them."""

import os
import unicodedata

import pytest

from lesion.photos.names import Layout, Listing, Member, join_members, notes, passed_over
from lesion.pipeline.errors import InputError

MARK = Layout(mask_suffix="_m")
WATERLOO = Layout(image_suffix="_orig", mask_suffix="_contour")
NNUNET = Layout(image_suffix="_0000", mask_suffix="")


def joined(images: list[str], masks: list[str], layout: Layout = MARK) -> dict[str, tuple]:
    """Names of image and mask by id, of two places."""
    pairs = join_members([Listing("images", images)], [Listing("masks", masks)], layout)
    return {name: (image.name, mask.name) for name, (image, mask) in pairs.items()}


def joined_in_one_place(names: list[str], layout: Layout = MARK) -> dict[str, tuple]:
    place = [Listing("place", names)]
    return {
        name: (image.name, mask.name)
        for name, (image, mask) in join_members(place, place, layout).items()
    }


def refusal(images: list[str], masks: list[str], layout: Layout = MARK) -> str:
    with pytest.raises(InputError) as error:
        joined(images, masks, layout)
    return str(error.value)


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def test_images_and_masks_of_one_place_are_told_apart_by_their_names():
    names = ["A.jpg", "B.jpg", "B_m.png", "x/A_m.png", "LICENSE.txt"]
    assert joined_in_one_place(names) == {
        "A": ("A.jpg", "x/A_m.png"),
        "B": ("B.jpg", "B_m.png"),
    }
    with pytest.raises(InputError, match=r"place: no mask of image C\.jpg"):
        joined_in_one_place([*names, "C.jpg"])


def test_without_suffixes_image_and_mask_have_one_name():
    assert joined(["A.jpg"], ["A.png"], Layout(mask_suffix="")) == {"A": ("A.jpg", "A.png")}


@pytest.mark.parametrize(
    ("images", "masks", "layout"),
    [
        (["10_orig.jpg"], ["10_contour.png"], WATERLOO),
        (["m/dermis/10_ORIG.JPG"], ["m/dermis/10_Contour.PNG"], WATERLOO),
        (["imagesTr/10_0000.png"], ["labelsTr/10.png"], NNUNET),
        (["10-rgb.tif"], ["10.png"], Layout("-rgb", "")),
        (["10_seg.jpg"], ["10_lesion_seg.png"], Layout("_seg", "_lesion_seg")),
        (["10_x_orig.jpg"], ["10_orig.png"], Layout("_x_orig", "_orig")),
    ],
)
def test_images_may_have_a_suffix_too_in_one_place_or_two(images, masks, layout):
    pair = (*images, *masks)
    assert joined(images, masks, layout) == {"10": pair}
    assert joined_in_one_place([*masks, *images], layout) == {"10": pair}


def test_a_mask_may_be_called_like_an_image_where_it_lies_apart():
    images, masks = ["case_0000_0000.png", "case_0001_0000.png"], ["case_0000.png", "case_0001.png"]
    assert list(joined(images, masks, NNUNET)) == ["case_0000", "case_0001"]


@pytest.mark.parametrize(
    ("images", "masks", "named"),
    [
        (["1.jpg"], ["1_contour.png"], "images: found 1.jpg; expected only X_orig.jpg in it"),
        (["1_orig.jpg"], ["1.png"], "masks: found 1.png; expected only X_contour.png in it"),
        (["1_contour.png"], ["1_contour.png"], "found 1_contour.png; expected only X_orig.jpg"),
        (["_orig.jpg"], ["_contour.png"], "images: found _orig.jpg; expected only X_orig.jpg"),
        (["1_orig.jpg"], ["2_contour.png"], "image 1_orig.jpg, one of 1 without; expected 1_cont"),
    ],
)
def test_what_has_no_suffix_or_no_id_is_refused_by_name(images, masks, named):
    assert named in refusal(images, masks, WATERLOO)


def test_a_place_of_images_and_masks_refuses_what_is_neither():
    with pytest.raises(InputError, match=r"found 2\.jpg; expected only X_orig\.jpg and X_contour"):
        joined_in_one_place(["1_orig.jpg", "1_contour.png", "2.jpg"], WATERLOO)


@pytest.mark.parametrize(
    ("names", "layout", "ids"),
    [
        (["x/1.jpg", "y/1.jpg", "x/1_m.png", "y/1_m.png"], Layout("", "_m", (), 1), ["x_1", "y_1"]),
        (["a/x/1.jpg", "a/x/1_m.png"], Layout("", "_m", (), 2), ["a_x_1"]),
        (["a\\1.jpg", "a/1_m.png"], Layout("", "_m", (), 5), ["a_1"]),
        (["1.jpg", "1_m.png"], Layout("", "_m", (), 1), ["1"]),
        (["p1/image.jpg", "p1/mask.png"], Layout("image", "mask", (), 1), ["p1"]),
    ],
)
def test_folders_may_belong_to_the_id(names, layout, ids):
    assert list(joined_in_one_place(names, layout)) == ids
    with pytest.raises(InputError, match="no mask of image"):
        joined_in_one_place(names[:-1], layout)


def test_folders_of_images_and_masks_that_belong_to_the_id_are_the_same():
    layout = Layout(mask_suffix="", folders_in_id=1)
    images, masks = ["i/x/1.jpg", "i/ä/1.jpg"], ["m/x/1.png", decomposed("m/ä/1.png")]
    assert list(joined(images, masks, layout)) == ["x_1", "ä_1"]
    assert "folders_in_id" in refusal(images, masks, Layout(mask_suffix=""))


def test_images_in_several_places_are_one_data_set():
    images = [Listing("a", ["1.jpg", "LICENSE.txt"]), Listing("b", ["2.jpg", "LICENSE.txt"])]
    pairs = join_members(images, [Listing("c", ["1_m.png", "2_m.png"])], MARK)
    assert pairs == {
        "1": (Member("a", "1.jpg"), Member("c", "1_m.png")),
        "2": (Member("b", "2.jpg"), Member("c", "2_m.png")),
    }
    twice = [*images, Listing("d", ["x/2.jpg"])]
    with pytest.raises(InputError, match=r"d: 2 occurs twice, as b: 2\.jpg and x/2\.jpg"):
        join_members(twice, [Listing("c", ["1_m.png", "2_m.png"])], MARK)
    with pytest.raises(InputError, match=r"a, b: no image of mask 3_m\.png"):
        join_members(images, [Listing("c", ["1_m.png", "2_m.png", "3_m.png"])], MARK)


@pytest.mark.parametrize("pattern", ["*_roi/*", "*_Label*.bmp", "x/A/A_roi/*", "*"])
def test_what_ignore_matches_is_passed_over_in_any_folder(pattern):
    layout = Layout(mask_suffix="_m", ignore=(pattern,))
    names = ["x/A/A.bmp", "x/A/A_m.bmp", "x/A/A_roi/A_R1_Label4.bmp"]
    if pattern == "*":
        with pytest.raises(InputError, match="no image in it"):
            joined_in_one_place(names, layout)
    else:
        assert joined_in_one_place(names, layout) == {"A": ("x/A/A.bmp", "x/A/A_m.bmp")}
        assert passed_over(Listing("x", names), layout) == ["x/A/A_roi/A_R1_Label4.bmp"]


def test_ignore_reaches_names_packed_by_windows_and_named_by_a_mac():
    layout = Layout(mask_suffix="_m", ignore=("prüf/*",))
    names = ["A.jpg", "A_m.png", decomposed("prüf\\B.jpg")]
    assert list(joined_in_one_place(names, layout)) == ["A"]


@pytest.mark.parametrize(
    "name",
    [
        "metadata.csv",
        "x/notes.MD",
        "a.json",
        "PH2_dataset.xlsx",
        "LICENSE",
        "x\\README",
        "a.sha256",
    ],
)
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_texts_are_passed_over_and_listed(name, kind):
    members = {"images": ["A.jpg"], "masks": ["A_m.png"]}
    members[kind].append(name)
    assert list(joined(**members)) == ["A"]
    listing = Listing("x", members[kind])
    assert passed_over(listing, MARK) == ([] if notes(listing, MARK) else [name])


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "x/._A.jpg",
        ".git/B.jpg",
        "__MACOSX/x/B.jpg",
        "x\\Thumbs.db",
        "Desktop.ini",
        "x/Icon\r",
    ],
)
def test_what_the_system_left_is_passed_over_without_a_word(name):
    assert list(joined(["A.jpg", name], ["A_m.png", name])) == ["A"]
    listing = Listing("x", ["A.jpg", name])
    assert passed_over(listing, MARK) == notes(listing, MARK) == []


@pytest.mark.parametrize(
    "name",
    ["a.mp4", "a.dcm", "a_m.npy", "a.mat", "a.heic", "a.jpg.part", "a.zip", "metadata", "Icon"],
)
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_what_may_be_meant_as_an_image_or_mask_is_refused_with_a_way_on(name, kind):
    members = {"images": ["A.jpg"], "masks": ["A_m.png"]}
    members[kind].append(name)
    message = refusal(**members)
    assert f"{kind}: found {name}; expected only X" in message and "name it under ignore" in message
    assert list(joined(**members, layout=Layout(mask_suffix="_m", ignore=(name,)))) == ["A"]


@pytest.mark.parametrize(
    "name",
    [
        "LICENSE.txt",
        "x/y/ATTRIBUTION.txt",
        "attribution.txt",
        "licenses/CC-BY.txt",
        "x\\Licence.md",
    ],
)
def test_licences_and_attributions_are_notes(name):
    assert notes(Listing("x", [name, "A.jpg", "LICENSE.jpg", "data.txt"]), MARK) == [name]
    assert notes(Listing("x", [name]), Layout(ignore=("*",))) == []


@pytest.mark.parametrize("name", ["x\\A.jpg", "x\\y\\A.jpg", "x/y\\A.jpg", ".\\A.jpg"])
def test_folders_of_windows_are_folders(name):
    mask = name.replace("A.jpg", "A_m.png")
    assert joined(["x\\", name], ["x\\y\\", mask]) == {"A": (name, mask)}


@pytest.mark.parametrize(
    "name",
    [
        *("../A.jpg", "x/../../A.jpg", "/A.jpg", "x/.."),
        *("..\\A.jpg", "x\\..\\A.jpg", "x/..\\A.jpg", "\\A.jpg", "\\\\server\\share\\A.jpg"),
        *("C:\\A.jpg", "c:A.jpg", "C:/A.jpg"),
    ],
)
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_name_that_leads_out_is_refused(name, kind):
    members = {"images": ["A.jpg"], "masks": ["A_m.png"]}
    members[kind].append(name)
    assert f"{kind}: found {name!r}, which leads out of it" in refusal(**members)


@pytest.mark.parametrize("name", ["Läsion é", "각막 1", "Ångström"])
@pytest.mark.parametrize(
    "layout", [MARK, Layout("_ö", "_läsion"), Layout("_o\u0308", "_la\u0308sion")]
)
def test_names_of_a_mac_and_of_others_are_joined_under_the_composed_id(name, layout):
    assert decomposed(name) != name
    image = f"{name}{layout.image_suffix}.jpg"
    mask = f"{name}{layout.mask_suffix}.png"
    for first, second in ((decomposed(image), mask), (image, decomposed(mask))):
        assert joined([first], [second], layout) == {name: (first, second)}
        assert joined_in_one_place([first, second], layout) == {name: (first, second)}


def test_two_names_that_look_the_same_are_one_id_twice():
    message = refusal(["ä.jpg", decomposed("ä.jpg")], ["ä_m.png"])
    assert r"images: ä occurs twice, as '\xe4.jpg' and 'a\u0308.jpg'; keep one of them" in message
    assert "images: ä occurs twice" in refusal(["ä.jpg", decomposed("x/ä.jpg")], ["ä_m.png"])


def test_a_name_that_is_no_utf_8_is_refused_with_its_bytes_and_a_remedy():
    name = os.fsdecode(b"L\xe4sion.jpg")
    message = refusal(["A.jpg", name], ["A_m.png"])
    assert "images: found b'L\\xe4sion.jpg', a name that is no UTF-8; rename it" in message
    assert "convmv" in message and message.isprintable()
    notes_ = os.fsdecode(b"L\xe4sion/LICENSE.txt")
    assert "no UTF-8" in refusal(["A.jpg"], ["A_m.png", notes_])
    assert list(joined(["A.jpg", name], ["A_m.png"], Layout("", "_m", ("L*.jpg",)))) == ["A"]


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\0", "\x1b"])
def test_a_name_with_a_control_character_is_refused(letter):
    name = f"A{letter}B.jpg"
    message = refusal([name], [f"A{letter}B_m.png"])
    assert f"found {name!r}, a name with a control character; rename it" in message


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\u202e", "\u2066", "\x85"])
def test_a_name_with_a_letter_that_misleads_a_terminal_is_refused_and_shown(letter):
    message = refusal([f"A{letter}B.jpg"], [f"A{letter}B_m.png"])
    assert f"A{letter!a}B.jpg".replace("'", "") in message and "rename it" in message


@pytest.mark.parametrize("first", "=+-@＝＋－＠")
def test_an_id_that_a_spreadsheet_would_work_out_is_refused(first):
    for folder in ("", f"{first}x/", "x/"):
        message = refusal([f"{folder}{first}1.jpg"], [f"{folder}{first}1_m.png"])
        assert f"takes for a formula; rename it so that it does not begin with {first}" in message
    files = [f"x{first}1.jpg", f"{first}notes.txt"]
    assert list(joined(files, [f"x{first}1_m.png"])) == [f"x{first}1"]


@pytest.mark.parametrize(("letter", "most"), [("a", 200), ("ä", 100)])
def test_an_id_that_is_too_long_for_a_files_name_is_refused(letter, most):
    name = letter * most
    assert list(joined([f"{name}.jpg"], [f"{name}_m.png"])) == [name]
    name += letter
    message = refusal([f"{name}.jpg"], [f"{name}_m.png"])
    assert "found an id of 20" in message and "expected at most 200" in message
    assert len(message) < 300


def test_names_in_two_encodings_are_pointed_at_with_the_remedy():
    ours, theirs = "Läsion", "Läsion".encode("cp1252").decode("cp437")
    for images, masks in ((ours, theirs), (theirs, ours)):
        message = refusal([f"{images}.jpg"], [f"{masks}_m.png"])
        assert f"no mask of image {images}.jpg" in message
        assert theirs in message and ours in message and "with names in UTF-8" in message
    for images, masks in (("ä", "A"), ("A", "B")):
        assert ("UTF-8" in refusal([f"{images}.jpg"], [f"{masks}_m.png"])) == (images == "ä")
    assert "UTF-8" not in refusal(["ä.jpg", "A.jpg"], ["A_m.png"])
