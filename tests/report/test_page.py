"""The report page, held to what a person sees of it in a browser without a window."""

import re
import weakref
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browser import Window
from lesion.report.external import Cell, DataSet
from lesion.report.page import Case, write_page
from lesion.report.page.cases import UNITS, outline
from lesion.report.page.numbers import BOUNDARY, SCORES, methods
from lesion.synthetic import lesion_image

pytestmark = pytest.mark.long

SVG = (
    '<?xml version="1.0"?><!DOCTYPE svg><svg viewBox="0 0 20 10" width="20pt">'
    "<metadata>made today</metadata><style>* {stroke: red}</style>"
    '<defs><path id="a" d="M0 0h9"/><clipPath id="b"><rect width="9" height="9"/></clipPath></defs>'
    '<g clip-path="url(#b)" style="stroke: currentColor"><use href="#a"/></g></svg>'
)
# What would run, end a script or an attribute, or be taken for an entity, if it were not escaped
HOSTILE = """</script><script>hurt=1</script><img src=x onerror=hurt=1>"'`&amp;<!--${1}{{2}}é"""
IDS = "return [...document.querySelectorAll('#cards .id')].map((place) => place.textContent)"


def case(number: int, count: int = 24) -> Case:
    """Case of a number: its Dice is no one else's, and each trait and split splits differently."""
    image, truth = lesion_image(number % 6, 48, 64)
    dice = (7 * number % count + 0.5) / count
    scores = {
        "dice": dice,
        "iou": dice / (2 - dice),
        "hd95": float("nan") if number in (4, 5) else 80 * (11 * number % count) / count,
        "expected_dice": (number // 2) / (count / 2),  # in pairs
    }
    traits = {"size": ("small", "medium", "large")[number // 2 % 3]}
    if number != 2:
        traits["skin tone"] = "light" if number < count / 2 else "dark"
    split = "validation" if number % 4 == 3 else "test"
    return Case(f"ISIC_{number:04}", split, scores, traits, image, truth, np.roll(truth, 5, axis=1))


CASES = [case(number) for number in range(24)]
TEST = [item for item in CASES if item.split == "test"]


def table(*rows: tuple) -> pd.DataFrame:
    names = ["split", "group", "method", "score", "images", "value", "low", "high"]
    found = pd.DataFrame(rows, columns=names)
    return found.assign(published=found["method"].str.contains("cited").map({True: True}))


NAN = float("nan")
SCORE_TABLE = table(
    ("test", "all", "cited 2018", "dice", 1000, 0.898, NAN, NAN),
    ("validation", "all", "network", "dice", 100, 0.9012, 0.8, 0.95),
    ("test", "all", "network", "dice", 335, 0.8881, 0.8734, 0.9016),
    ("test", "all", "network", "iou", 335, 0.8159, 0.7981, 0.8322),
    ("test", "all", "network", "thresholded_iou", 335, 0.7742, 0.7493, 0.8019),
    ("test", "all", "network", "hd95", 335, 18.34, 16.25, 20.41),
    ("test", "all", "network", "own_measure", 335, 0.5, NAN, NAN),
    ("test", "all", "network", "expected_dice", 335, 0.8701, 0.86, 0.88),
    ("test", "all", "Otsu", "dice", 335, 0.6221, 0.6114, 0.6313),
    ("test", "size: small", "network", "dice", 122, 0.75, 0.65, 0.8),
    ("test", "size: large", "network", "dice", 1119, 0.9001, 0.8823, 0.9155),
    ("test", "hair: yes", "network", "dice", 1, 0.873, NAN, NAN),
    ("test", "size: small", "network", "hd95", 122, 31.25, 20.0, 45.0),
    ("test", "size: small", "Otsu", "dice", 122, 0.111, 0.1, 0.2),
    ("validation", "size: small", "network", "dice", 40, 0.222, 0.1, 0.3),
)


def write(path: Path, **changes: object) -> Path:
    content = {
        "title": "Segmentation",
        "note": "335 test images (synthetic sample)",
        "facts": {"encoder": "mobilenet", "threshold": "0.45"},
        "scores": SCORE_TABLE,
        "figures": {"Curves": SVG, "Calibration": SVG},
        "cases": CASES,
    }
    write_page(path, **(content | changes))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("page") / "report.html")


class Gallery(Window):
    """The report page's window."""

    def set(self, name: str, value: object) -> None:
        """Sets a control of the gallery, as a choice or a drag does."""
        self.run(
            "const control = document.getElementById('controls').elements[arguments[0]];"
            "if (control.type === 'checkbox') control.checked = arguments[1];"
            "else control.value = arguments[1];"
            "if (control.type !== 'checkbox' && control.value !== String(arguments[1]))"
            " throw new Error(`${arguments[0]} cannot be ${arguments[1]}`);"
            "control.dispatchEvent(new Event('input', { bubbles: true }))",
            name,
            value,
        )

    def ids(self) -> list[str]:
        return self.run(IDS)


@pytest.fixture
def window(driver: object) -> Iterator[Gallery]:
    """A window; a test that leaves an error in its console fails."""
    yield Gallery(driver)
    Gallery(driver).media()
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert driver.get_log("browser") == []


# ---- the file ----


def test_equal_input_gives_equal_bytes(tmp_path):
    first, second = (write(tmp_path / name) for name in ("first.html", "second.html"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("old", [None, b"old"], ids=["no file", "an old file"])
def test_cases_that_fail_leave_what_was_there(tmp_path, old):
    path = tmp_path / "report.html"
    if old:
        path.write_bytes(old)

    def failing() -> Iterator[Case]:
        yield CASES[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write(path, cases=failing())
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_images_in_full_size_are_let_go_one_by_one(tmp_path):
    alive: list[weakref.ref] = []

    def watched() -> Iterator[Case]:
        for item in CASES[:6]:
            copy = replace(item, image=item.image.copy())
            alive.append(weakref.ref(copy.image))
            yield copy
            del copy
            assert sum(image() is not None for image in alive) <= 1

    write(tmp_path / "report.html", cases=watched())
    assert len(alive) == 6


@pytest.mark.parametrize("name", ["truth", "prediction"])
def test_a_mask_of_another_shape_is_refused_by_name(tmp_path, name):
    wrong = replace(CASES[3], **{name: np.zeros((48, 63), bool)})
    with pytest.raises(ValueError, match=rf"ISIC_0003: {name} has shape \(48, 63\); expected"):
        write(tmp_path / "report.html", cases=[wrong])
    assert not list(tmp_path.iterdir())


def test_other_data_sets_stand_beside_the_test_split_where_there_are_some(tmp_path, window):
    cells = [
        Cell("0.812", "0.800–0.820", "−0.100", "−0.120 to −0.080"),
        *[Cell("–", "", "", "")] * 2,
    ]
    rows = [DataSet(HOSTILE, 1900, ["4 left out by id"], cells)]
    window.open(write(tmp_path / "report.html", external=rows))
    table = window.run("return [...document.querySelectorAll('table.methods')].pop().innerText")
    for said in (HOSTILE, "1,900 · 4 left out by id", "0.800–0.820", "−0.120 to −0.080"):
        assert said in table
    assert "other data sets" not in write(tmp_path / "report.html").read_text(encoding="utf-8")


def test_two_rows_of_one_score_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"two rows for .*'dice'"):
        write(tmp_path / "report.html", scores=pd.concat([SCORE_TABLE, SCORE_TABLE[2:3]]))


def test_a_figure_that_is_no_svg_is_refused_by_its_title(tmp_path):
    with pytest.raises(ValueError, match="figure 'Curves'"):
        write(tmp_path / "report.html", figures={"Curves": "<img src=curves.png>"})


def filled(path: str, height: int, width: int) -> np.ndarray:
    """The pixels, H×W bool, inside a path of `outline`, by the rule evenodd."""
    inside = np.zeros((height * UNITS, width * UNITS), bool)
    for part in filter(None, path.split("z")):
        start, steps = re.fullmatch(r"M(\S+ ?\S+)l(.*)", part).groups()
        numbers = [int(number) for number in re.findall(r"-?\d+", f"{start} {steps}")]
        ring = np.zeros(inside.shape, np.uint8)
        cv2.fillPoly(ring, [np.cumsum(np.reshape(numbers, (-1, 2)), axis=0)], 1)
        inside ^= ring.astype(bool)
    return inside[UNITS // 2 :: UNITS, UNITS // 2 :: UNITS]


@pytest.mark.parametrize("scale", [1, 3])
def test_an_outline_encloses_the_mask_with_its_holes_at_any_scale(scale):
    mask = np.zeros((90, 120), bool)
    cv2.circle(mask.view(np.uint8), (60, 40), 36, 1, -1)
    mask[30:51, 45:75] = False
    mask[36:45, 54:66] = True  # an island in the hole
    mask[:12, :15] = True  # at the edge
    small = (90 // scale, 120 // scale)
    expected = mask[scale // 2 :: scale, scale // 2 :: scale]
    path = outline(mask, *small)
    assert path.count("M") == 4
    assert (filled(path, *small) != expected).mean() < 0.005
    assert len(path) < 700


def test_outlines_of_an_empty_and_of_a_full_mask_are_nothing_and_the_whole_box():
    assert outline(np.zeros((8, 9), bool), 8, 9) == ""
    assert filled(outline(np.ones((8, 9), bool), 8, 9), 8, 9).all()


# ---- the numbers and figures ----


def test_headline_is_the_networks_test_scores_with_their_intervals(page, window):
    window.open(page)
    assert window.texts(".headline .figure") == ["0.888", "0.816", "0.774"]
    intervals = [text.split("\n")[-1] for text in window.texts(".headline .interval")]
    assert intervals == ["0.873–0.902", "0.798–0.832", "0.749–0.802"]
    assert window.one("h1").text == "Segmentation"
    assert window.one(".note").text == "335 test images (synthetic sample)"
    assert "nothing here may be used for diagnosis or treatment" in window.one(".warning").text


def test_methods_stand_in_order_with_their_numbers_and_a_dash_for_what_is_missing(page, window):
    window.open(page)
    columns = window.texts(".methods thead tr:last-child th")[1:]
    assert columns == ["Dice", "IoU", "Thresholded IoU", "Expected Dice", "HD95, px", "Own measure"]
    families = [(th.text, th.get_attribute("colspan")) for th in window.all("th[colspan]")]
    assert families == [("Mean over images", "4"), (BOUNDARY, "1"), ("Other", "1")]
    rows = [
        [cell.text.split("\n") for cell in row.find_elements("css selector", "th, td")]
        for row in window.all(".methods tbody tr")
    ]
    dashes = [["–"]] * 5
    assert rows == [
        [
            ["network", "335"],
            ["0.888", "0.873–0.902"],
            ["0.816", "0.798–0.832"],
            ["0.774", "0.749–0.802"],
            ["0.870", "0.860–0.880"],
            ["18.3", "16.2–20.4"],
            ["0.500"],
        ],
        [["Otsu", "335"], ["0.622", "0.611–0.631"], *dashes],
        [["network, validation", "100 · chosen on these"], ["0.901", "0.800–0.950"], *dashes],
        [["cited 2018", "1,000 · published"], ["0.898"], *dashes],
    ]


def test_what_has_no_interval_is_no_published_result_for_that():
    few = SCORE_TABLE.assign(images=7, low=NAN, high=NAN)
    kinds = {row.name: row.kind for row in methods(few).rows}
    assert kinds == {
        "network": "network",
        "Otsu": "baseline",
        "network, validation": "validation",
        "cited 2018": "published",
    }
    assert {row.kind for row in methods(few.drop(columns="published")).rows} == {
        "network",
        "baseline",
        "validation",
    }


@pytest.mark.parametrize("splits", [("test",), ("test", "validation")])
def test_a_page_with_validation_scores_says_that_they_flatter(tmp_path, splits):
    scores = SCORE_TABLE[SCORE_TABLE["split"].isin(splits)]
    text = write(tmp_path / "report.html", scores=scores).read_text(encoding="utf-8")
    numbers = text.partition('<section id="gallery"')[0]
    assert ("chosen on the validation images, so that their scores flatter" in numbers) == (
        "validation" in splits
    )


def test_an_interval_stands_beside_the_number_of_its_images(tmp_path):
    text = write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "95 % interval, 335 images <b>0.873–0.902</b>" in text
    assert 'title="95 % interval 0.650–0.800, 122 images"' in text
    assert 'title="no interval, 1 images"' in text
    assert "nan" not in text.partition('<script type="application/json"')[0].partition("<body>")[2]


def test_groups_of_the_chosen_score_are_shown_with_images_and_dots_in_their_place(page, window):
    window.open(page)

    def shown() -> list[list[str]]:
        rows = [row for row in window.all(".groups tbody tr") if row.is_displayed()]
        return [[c.text for c in row.find_elements("css selector", "th, td")] for row in rows]

    assert shown() == [
        ["small", "122", "", "0.750"],
        ["large", "1,119", "", "0.900"],
        ["yes", "1", "", "0.873"],
    ]
    assert window.texts(".groups caption")[:2] == ["Size", "Hair"]
    # The axis goes from 0.6, a tenth below the lowest interval, to 1.
    start, dot, bar_start, bar_end, length = window.run(
        "const plot = document.querySelector('.groups .dot');"
        "const box = (of) => plot.querySelector(of).getBoundingClientRect();"
        "return [plot.getBoundingClientRect().left, box('b').left + box('b').width / 2,"
        " box('i').left, box('i').right, plot.clientWidth]"
    )
    places = [(place - start) / length for place in (bar_start, dot, bar_end)]
    assert places == pytest.approx([0.125, 0.375, 0.5], abs=0.01)

    window.one("#group-score input[value=hd95] + span").click()
    assert shown() == [["small", "122", "", "31.2"]]


def test_facts_are_folded_until_asked_for(page, window):
    window.open(page)
    assert window.texts(".facts dd") == ["", ""]
    window.one(".facts summary").click()
    assert window.texts(".facts dd") == ["mobilenet", "0.45"]


def test_figures_stand_in_the_page_in_its_ink_and_share_no_names(page, window):
    window.open(page)
    assert window.texts("figcaption") == ["Curves", "Calibration"]
    drawn = window.run(
        "return [...document.querySelectorAll('figure g')].map((group) => ["
        "getComputedStyle(group).stroke, getComputedStyle(document.body).color,"
        "group.firstElementChild.getBBox().width,"
        "Boolean(document.querySelector(group.getAttribute('clip-path').slice(4, -1)))])"
    )
    assert len(drawn) == 2
    for stroke, ink, width, clipped in drawn:
        assert stroke == ink and width == 9 and clipped
    names = window.run("return [...document.querySelectorAll('[id]')].map((named) => named.id)")
    assert len(names) == len(set(names))
    text = page.read_text()
    assert "made today" not in text and "stroke: red" not in text


# ---- the gallery ----


def in_order(items: list[Case], score: str, order: str) -> list[str]:
    """Ids by a score, equal ones by id, those without one last."""
    down = order == "descending"
    known = sorted((item for item in items if item.scores[score] == item.scores[score]), key=key)
    known.sort(key=lambda item: item.scores[score], reverse=down)
    rest = sorted((item for item in items if item.scores[score] != item.scores[score]), key=key)
    return [item.id for item in known + rest]


def key(item: Case) -> str:
    return item.id


def test_at_first_the_test_images_are_shown_the_worst_dice_first(page, window):
    window.open(page)
    assert window.ids() == in_order(TEST, "dice", "ascending")


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_sorting_orders_the_cards_by_the_score(page, window, order):
    from selenium.webdriver.support.select import Select

    window.open(page, split="")
    Select(window.one("select[name=order]")).select_by_visible_text(order)
    for score in CASES[0].scores:
        Select(window.one("select[name=sort]")).select_by_visible_text(SCORES[score].label)
        assert window.ids() == in_order(CASES, score, order)
    labels = window.run(
        "return [...document.querySelectorAll('#cards .score')].map((place) => place.textContent)"
    )
    first, last = labels[0], labels[-1]
    ends = [0, 11] if order == "ascending" else [11, 0]
    assert [first, last] == [f"Expected Dice {number / 12:.3f}" for number in ends]


def test_sorting_by_id_goes_both_ways(page, window):
    window.open(page, split="", sort="id")
    ids = [item.id for item in CASES]
    assert window.ids() == ids
    window.set("order", "down")
    assert window.ids() == ids[::-1]


FILTERS = [("split", "test"), ("split", "validation")]
FILTERS += [("size", value) for value in ("small", "medium", "large")]
FILTERS += [("skin tone", value) for value in ("light", "dark")]


def test_a_filter_keeps_the_images_that_have_the_trait_and_no_others(page, window):
    window.open(page, split="")
    for name, value in FILTERS:
        control = "split" if name == "split" else f"trait.{name}"
        window.set(control, value)
        has = {item.id: (item.traits | {"split": item.split}).get(name) == value for item in CASES}
        assert 0 < sum(has.values()) < len(has)
        assert sorted(window.ids()) == [id for id, holds in has.items() if holds]
        chosen = window.texts(f"select[name='{control}'] option:checked")
        assert chosen == [f"{value} ({sum(has.values())})"]
        window.set(control, "")
        assert len(window.ids()) == len(CASES)


def test_filters_hold_together(page, window):
    window.open(page)
    window.set("trait.size", "small")
    window.set("trait.skin tone", "dark")
    window.set("find", "1")
    expected = [
        item.id
        for item in TEST
        if item.traits == {"size": "small", "skin tone": "dark"} and "1" in item.id
    ]
    assert len(expected) > 1 and sorted(window.ids()) == expected


def test_search_finds_any_part_of_an_id_in_any_case(page, window):
    window.open(page, split="")
    field = window.one("input[name=find]")
    field.send_keys("isic_001")
    assert sorted(window.ids()) == [f"ISIC_{number:04}" for number in range(10, 20)]
    field.send_keys("7")
    assert window.ids() == ["ISIC_0017"]


def test_a_range_keeps_what_is_not_below_it_and_below_its_upper_end(page, window):
    window.open(page, split="")
    window.set("score", "expected_dice")
    window.set("low", 0.25)
    window.set("high", 0.5)
    kept = [i.id for i in CASES if 0.25 <= i.scores["expected_dice"] < 0.5]
    assert len(kept) == 6 and sorted(window.ids()) == kept
    assert window.one("#between").text == "0.25 to below 0.50"
    window.set("high", 1)
    assert sorted(window.ids()) == [i.id for i in CASES if i.scores["expected_dice"] >= 0.25]


def test_a_range_in_pixels_ends_above_the_largest_and_leaves_out_what_has_no_score(page, window):
    window.open(page, split="")
    window.set("score", "hd95")
    assert len(window.ids()) == 24
    assert window.one("#between").text == "0 to 100"
    window.set("low", 1)
    assert sorted(window.ids()) == [i.id for i in CASES if i.scores["hd95"] >= 1]
    window.set("low", 100)
    assert window.ids() == []


def test_ends_of_a_range_do_not_cross(page, window):
    window.open(page)
    window.set("high", 0.4)
    window.run(
        "const { low } = document.getElementById('controls').elements; low.value = 0.9;"
        "low.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    assert window.one("#between").text == "0.40 to below 0.40"


def test_failures_are_one_click_away(page, window):
    window.open(page)
    window.one("#failed").click()
    failed = [item.id for item in TEST if item.scores["iou"] < 0.65]
    assert 0 < len(failed) < len(TEST) and sorted(window.ids()) == failed


def test_count_and_mean_dice_are_of_what_is_shown(page, window):
    window.open(page)
    mean = np.mean([item.scores["dice"] for item in TEST])
    assert window.one("#count").text == f"{len(TEST)} of 24 images, mean Dice {mean:.3f}"
    window.set("find", "ISIC_0005")
    assert window.one("#count").text == f"1 of 24 images, mean Dice {CASES[5].scores['dice']:.3f}"
    assert window.one("#count").get_attribute("aria-live") == "polite"


def test_the_mean_of_validation_images_is_said_to_flatter(page, window):
    window.open(page, split="validation")
    note = "(those of validation flatter: choices were made on them)"
    assert window.one("#count").text.endswith(note)


def test_where_nothing_matches_the_page_says_so_and_resets(page, window):
    window.open(page)
    assert not window.one("#empty").is_displayed()
    window.set("find", "nothing")
    window.set("score", "iou")
    window.set("low", 0.5)
    assert window.ids() == [] and window.one("#count").text == "0 of 24 images"
    assert "No image matches" in window.one("#empty").text
    window.one("#empty .reset").click()
    assert window.ids() == in_order(TEST, "dice", "ascending")
    assert not window.one("#empty").is_displayed()


def test_settings_are_kept_in_the_address(page, window):
    window.open(page)
    values = {"score": "hd95", "low": "10", "high": "60", "sort": "iou", "order": "down"}
    values |= {"trait.skin tone": "light", "find": "0"}
    for name, value in values.items():
        window.set(name, value)
    ids = window.ids()
    assert 0 < len(ids) < len(TEST)
    window.wait(lambda: "find=0" in window.driver.current_url)
    window.set("fade", "80")
    window.set("predicted", True)
    window.wait(lambda: "predicted=true" in window.driver.current_url)
    address = window.driver.current_url
    window.driver.get("about:blank")
    window.driver.get(address)
    assert window.ids() == ids
    assert window.one(".layers output").text == "80 %"
    assert window.one("input[name=predicted]").is_selected()


def test_an_address_that_makes_no_sense_changes_nothing(page, window):
    window.open(page, sort="none", order="x", low="y", score="z", split="w", item="3")
    assert window.ids() == in_order(TEST, "dice", "ascending")


def test_sections_have_links_that_leave_the_filters_alone(page, window):
    window.open(page)
    window.set("find", "ISIC_0005")
    window.one("nav a[href='#figures']").click()
    assert window.ids() == ["ISIC_0005"]


# ---- the layers over the images ----


def test_the_slider_fades_the_prediction_over_every_image(page, window):
    window.open(page)
    window.run("document.getElementById('gallery').scrollIntoView({ behavior: 'instant' })")
    window.wait(lambda: len(window.all("#cards .regions")) > 4)
    window.run("document.querySelector('input[name=fade]').focus()")
    for keys, opacity in ((["HOME"], 0), (["END"], 1), (["ARROW_LEFT"] * 3, 0.97)):
        window.press(*keys)
        seen = [float(o.value_of_css_property("opacity")) for o in window.all("#cards .regions")]
        assert seen == pytest.approx([opacity] * len(seen))
    assert window.one(".layers output").text == "97 %"


@pytest.mark.parametrize(("name", "at_first"), [("truth", True), ("predicted", False)])
def test_outlines_are_shown_as_their_boxes_are_ticked(page, window, name, at_first):
    window.open(page, find="ISIC_0005")
    window.run("document.getElementById('gallery').scrollIntoView({ behavior: 'instant' })")
    window.wait(lambda: window.all("#cards .outline"))
    for shown in (at_first, not at_first, at_first):
        lines = [line.value_of_css_property("display") for line in window.all(f".outline.{name}")]
        assert len(lines) == 2 and {line != "none" for line in lines} == {shown}
        window.one(f"input[name={name}]").click()


def pixels(element: object) -> np.ndarray:
    """A picture of an element, H×W×3 uint8."""
    with Image.open(BytesIO(element.screenshot_as_png)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_pixels_found_wrongly_marked_and_missed_have_their_colours(tmp_path, window):
    image = np.full((60, 80, 3), 128, np.uint8)
    truth, prediction = np.zeros((2, 60, 80), bool)
    truth[10:50, 10:50] = True
    prediction[10:50, 30:70] = True
    prediction[25:35, 35:45] = False  # a hole in the lesion that was found
    item = Case("ISIC_1", "test", {"dice": 0.5}, {}, image, truth, prediction)
    path = write(tmp_path / "report.html", cases=[item])
    window.open(path, fade="100", truth="false")
    window.one("#cards button").click()
    picture = pixels(window.one("dialog .stage"))
    scale = picture.shape[1] / 80
    yellow, orange, blue, grey = (240, 228, 66), (213, 94, 0), (0, 114, 178), (128, 128, 128)
    for (y, x), colour in {
        (15, 40): yellow,
        (20, 60): orange,
        (30, 20): blue,
        (30, 40): blue,
        (5, 5): grey,
        (55, 40): grey,
        (11, 31): yellow,
        (11, 29): blue,
        (48.5, 51): orange,
        (30, 68.5): orange,
        (30, 71): grey,
    }.items():
        pixel = picture[round(y * scale), round(x * scale)].astype(int)
        assert abs(pixel - colour).max() <= 2, f"{pixel} at {y, x}; expected {colour}"


def test_few_of_many_images_are_drawn_before_they_are_near(tmp_path, window):
    many = (replace(CASES[i % 24], id=f"ISIC_{i:04}", split="test") for i in range(300))
    window.open(write(tmp_path / "report.html", cases=many))
    drawn = "return document.querySelectorAll('#cards img[src]').length"
    assert len(window.ids()) == 300 and window.run(drawn) < 30
    for place, other in (("first", "last"), ("last", "first")):
        window.run(f"document.querySelector('#cards li:{place}-child').scrollIntoView()")
        image = f"document.querySelector('#cards li:{place}-child img')"
        window.wait(lambda image=image: window.run(f"return {image}?.naturalWidth") == 64)
        window.wait(lambda: 0 < window.run(drawn) < 100)
        assert not window.all(f"#cards li:{other}-child img")


# ---- the larger view ----


def test_a_card_opens_all_about_its_image(page, window):
    window.open(page, find="ISIC_0004")
    window.one("#cards button").click()
    assert window.one("#large-id").text == "ISIC_0004"
    pairs = dict(zip(window.texts("dialog dt"), window.texts("dialog dd"), strict=True))
    dice, iou, _, expected = CASES[4].scores.values()
    assert pairs == {
        "Dice": f"{dice:.3f}",
        "IoU": f"{iou:.3f}",
        "HD95, px": "–",
        "Expected Dice": f"{expected:.3f}",
        "split": "test",
        "size": "large",
        "skin tone": "light",
    }
    assert window.run("return document.querySelector('dialog img').naturalWidth") == 64


def test_the_larger_view_is_worked_with_keys_alone(page, window):
    window.open(page)
    order = in_order(TEST, "dice", "ascending")
    window.run("document.querySelector('#cards button').focus({ preventScroll: true })")
    window.press("ENTER")
    seen = []
    for keys in ([], ["ARROW_LEFT"], ["ARROW_RIGHT"], ["ARROW_RIGHT"], ["ARROW_LEFT"]):
        window.press(*keys)
        seen.append(order.index(window.one("#large-id").text))
    assert seen == [0, 0, 1, 2, 1]
    assert window.one("dialog .place").text == f"2 of {len(order)} shown"
    window.press("ESCAPE")
    assert not window.one("dialog").is_displayed()
    focused = window.run("return document.activeElement.querySelector('.id')?.textContent")
    assert focused == order[1]


def test_the_larger_view_ends_with_the_last_image_shown(page, window):
    window.open(page)
    window.run("document.querySelector('#cards li:last-child button').click()")
    assert not window.one("#next").is_enabled() and window.one("#previous").is_enabled()
    window.press("ARROW_RIGHT")
    last, before = in_order(TEST, "dice", "descending")[:2]
    assert window.one("#large-id").text == last
    window.one("#previous").click()
    assert window.one("#large-id").text == before
    window.one("#close").click()
    assert not window.one("dialog").is_displayed()


def test_the_larger_views_slider_is_the_gallerys_and_takes_the_arrow_keys(page, window):
    window.open(page)
    window.run("document.querySelector('#cards button').click()")
    name = window.one("#large-id").text
    window.run("document.querySelector('dialog .fade input').focus()")
    window.press("END", "ARROW_LEFT", "ARROW_LEFT")
    assert window.one("#large-id").text == name
    assert float(window.style("dialog .regions", "opacity")) == pytest.approx(0.98)
    assert window.one("input[name=fade]").get_attribute("value") == "98"


# ---- any reader, any page ----


def test_nothing_is_asked_of_any_network(page, window):
    window.open(page)
    window.run("document.querySelector('#cards button').click()")
    window.wait(lambda: window.run("return document.querySelector('dialog img').complete"))
    asked = window.run("return performance.getEntriesByType('resource').map((got) => got.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    loads = "[...document.querySelectorAll('[src], [href]')]"
    places = window.run(
        f"return {loads}.map((of) => of.getAttribute('src') ?? of.href?.baseVal"
        " ?? of.getAttribute('href'))"
    )
    assert len(places) > 5 and all(place.startswith(("data:", "#")) for place in places)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#|figure)", page.read_text().split("<body")[0])


def test_texts_of_any_kind_are_shown_and_never_run(tmp_path, window):
    row = ("test", "all", HOSTILE, "dice", 3, 0.5, 0.4, 0.6)
    groups = ("test", f"{HOSTILE}: {HOSTILE}", "network", "dice", 3, 0.5, 0.4, 0.6)
    item = replace(
        CASES[0],
        id=HOSTILE,
        split=HOSTILE,
        traits={HOSTILE: HOSTILE, "__proto__": "x"},
        scores={"dice": 0.5, HOSTILE: 0.5},
    )
    path = write(
        tmp_path / "report.html",
        title=HOSTILE,
        note=HOSTILE,
        facts={HOSTILE: HOSTILE},
        scores=pd.concat([SCORE_TABLE, table(row, groups)]),
        figures={HOSTILE: SVG},
        cases=[item, replace(CASES[1], traits={})],
    )
    window.open(path)
    for selector in ("h1", ".note", ".facts dt", ".facts dd", "figcaption"):
        assert window.one(selector).get_property("textContent") == HOSTILE
    assert window.driver.title == HOSTILE
    assert HOSTILE in [text.get_property("textContent") for text in window.all(".groups th")]
    window.set("split", HOSTILE)
    window.set(f"trait.{HOSTILE}", HOSTILE)
    assert window.ids() == [HOSTILE]
    window.run("document.querySelector('#cards button').click()")
    for selector, count in (("#large-id", 1), ("dialog dt", 2), ("dialog dd", 2)):
        shown = [found.get_property("textContent") for found in window.all(selector)]
        assert shown.count(HOSTILE) == count
    assert window.run("return typeof hurt") == "undefined"
    assert len(window.all("script")) == 1 and not window.all("img[src=x]")


def test_a_page_of_nothing_opens(tmp_path, window):
    path = write(tmp_path / "report.html", facts={}, scores=table(), figures={}, cases=[])
    window.open(path)
    assert window.one("#count").text == "0 of 0 images" and window.one("#empty").is_displayed()
    assert not window.all("table") and not window.all("#figures")


def contrast(first: list[float], second: list[float]) -> float:
    """WCAG's contrast ratio of two sRGB colours, 0 to 255."""

    def luminance(colour: list[float]) -> float:
        share = np.array(colour) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page_in_light_and_dark(page, window, scheme):
    window.media(prefers_color_scheme=scheme)
    window.open(page)

    def colour(selector: str, name: str) -> list[float]:
        return [float(n) for n in re.findall(r"[\d.]+", window.style(selector, name))][:3]

    ground = colour("body", "background-color")
    assert (sum(ground) < 384) == (scheme == "dark")
    for selector in ("h1", ".note", "nav a:last-child", "#count", ".key"):
        assert contrast(colour(selector, "color"), ground) >= 4.5
    chosen = "#group-score :checked + span"
    assert contrast(colour(chosen, "color"), colour(chosen, "background-color")) >= 4.5


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_the_page_fits_a_window_of_any_width(page, window, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.open(page)
    assert window.run("return document.documentElement.scrollWidth") <= width
    is_open = window.one("#filters").get_attribute("open") is not None
    assert is_open == (width >= 960)


def test_paper_gets_the_numbers_and_figures_and_not_the_gallery(page, window):
    window.open(page)
    window.media("print")
    window.run("dispatchEvent(new Event('beforeprint'))")
    shown = {name: window.one(name).is_displayed() for name in ("#numbers", "#figures", "#gallery")}
    assert shown == {"#numbers": True, "#figures": True, "#gallery": False}
    assert window.texts(".facts dd") == ["mobilenet", "0.45"]
    assert not window.one(".choice").is_displayed()


def test_every_control_has_a_name_for_those_who_do_not_see_it(page, window):
    window.open(page)
    window.run("document.querySelector('#cards button').click()")
    nameless = window.run(
        "return [...document.querySelectorAll('input, select, button')].filter((control) =>"
        " !(control.getAttribute('aria-label') || control.textContent.trim() ||"
        " [...(control.labels ?? [])].some((label) => label.textContent.trim())))"
        ".map((control) => control.outerHTML)"
    )
    assert nameless == []
