"""The page, as a person uses it in a browser without a window, over a real server."""

import base64
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
import requests
from PIL import Image

from browser import Window
from lesion.photos.images import encode_mask
from lesion.prediction.segmenter import Segmenter
from lesion.serving.outline import rings
from lesion.synthetic import lesion_image
from picture_files import encoded, exif, huge_png, jpeg, png, stored
from served import evaluated, filled, served, started
from small_model import write_model

pytestmark = pytest.mark.long

AXE = os.environ.get("AXE")  # axe.min.js of axe-core, the checker of accessibility
PIXELS = [lesion_image(seed, 90, 130)[0] for seed in range(4)]
PHOTOGRAPHS = {f"{seed}.jpg": jpeg(pixels) for seed, pixels in enumerate(PIXELS)}
DROP = """
const [files, kind] = arguments;
const data = new DataTransfer();
for (const [name, content] of files) {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  data.items.add(new File([bytes], name, { type: 'image/jpeg' }));
}
const options = { bubbles: true, cancelable: true };
document.body.dispatchEvent(kind === 'paste'
  ? new ClipboardEvent('paste', { ...options, clipboardData: data })
  : new DragEvent('drop', { ...options, dataTransfer: data }));
"""
DRAG = """
const [selector, value] = arguments;
const control = document.querySelector(selector);
control.value = value;
control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input',
  { bubbles: true }));
"""
FRAME = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"


class Page(Window):
    """The page's window; what it downloads lies in `folder`."""

    folder: Path

    def drop(self, files: dict[str, bytes], kind: str = "drop") -> None:
        texts = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
        self.run(DROP, texts, kind)

    def states(self) -> list[str]:
        return [one.get_attribute("data-state") or "" for one in self.all("#thumbnails button")]

    def done(self, count: int) -> None:
        """Waits till so many photographs are there, and each is done or cannot be used."""
        ends = ("done", "donelook", "failed")
        self.wait(
            lambda: len(found := self.states()) == count and all(one in ends for one in found), 120
        )
        self.drawn()

    def drawn(self) -> None:
        self.driver.execute_async_script(FRAME)

    def show(self, name: str) -> None:
        (button,) = [one for one in self.all("#thumbnails button") if name in one.text]
        button.click()
        self.drawn()

    def outline(self) -> list[list[tuple[float, float]]]:
        """The polygons that lie over the photograph."""
        parts = self.one(".outline:not(.halo)").get_attribute("d").split("M")[1:]
        points = [part.removesuffix("Z").split("L") for part in parts]
        return [[tuple(map(float, point.split())) for point in ring] for ring in points]

    def drag(self, selector: str, value: object) -> None:
        self.run(DRAG, selector, str(value))
        self.drawn()

    def downloaded(self, button: str, name: str) -> bytes:
        path = self.folder / name
        path.unlink(missing_ok=True)
        self.one(button).click()
        self.wait(path.exists, 30)
        return path.read_bytes()

    def rows(self) -> list[dict[str, str]]:
        text = self.downloaded("#save-table", "lesions.csv").decode()
        return list(csv.DictReader(io.StringIO(text)))

    def measures(self) -> dict[str, list[str]]:
        rows = [
            row.find_elements("css selector", "th, td") for row in self.all(".measures tbody tr")
        ]
        return {name.text: [cell.text for cell in cells] for name, *cells in rows}


@pytest.fixture
def window(driver: object, tmp_path: Path) -> Iterator[Page]:
    """A window; a test that leaves an error in its console fails, but for what is refused."""
    page = Page(driver)
    page.folder = tmp_path
    driver.set_script_timeout(60)
    command = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", command)
    yield page
    page.media()
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    said = [entry["message"] for entry in driver.get_log("browser")]
    assert [line for line in said if "422 (Unprocessable" not in line] == []


@pytest.fixture
def page(window: Page, where: str) -> Page:
    return opened(window, where)


def opened(page: Page, where: str) -> Page:
    page.open(where)
    page.wait(lambda: page.one("#begin").is_displayed(), 30)
    return page


def inside(outline: list[list[tuple[float, float]]], scale: int = 16) -> np.ndarray:
    """The pixels, H×W bool, whose middles lie in polygons with points anywhere."""
    height, width = PIXELS[0].shape[:2]
    found = np.zeros((height * scale, width * scale), bool)
    for ring in outline:
        one = np.zeros(found.shape, np.uint8)
        cv2.fillPoly(one, [np.rint(scale * np.array(ring)).astype(int)], 1)
        found ^= one.astype(bool)
    return found[scale // 2 :: scale, scale // 2 :: scale]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other))


# ---- a photograph comes, and its outline ----


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photograph_gets_the_servers_outline_and_mask_to_the_bit(page, segmenter, kind):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]}, kind)
    page.done(1)
    mask = segmenter(PHOTOGRAPHS["0.jpg"]).decided.mask
    assert page.outline() == rings(mask) and mask.any()
    assert page.downloaded("#save-mask", "0_segmentation.png") == encode_mask(mask)
    overlay = Image.open(io.BytesIO(page.downloaded("#save-overlay", "0_overlay.png")))
    assert overlay.size == (130, 90)
    assert not page.one("#begin").is_displayed()


def test_files_are_chosen_and_the_same_may_be_chosen_again(page, tmp_path):
    (tmp_path / "a photograph.png").write_bytes(png(PIXELS[1]))
    for count in (1, 2):
        page.one("#files").send_keys(str(tmp_path / "a photograph.png"))
        page.done(count)
    assert page.one("#files").get_attribute("value") == ""
    assert page.one("#shot").get_attribute("capture") == "environment"


def test_masks_of_the_page_are_those_that_evaluate_writes(window, base):
    """To the bit, of every test image of a pipeline that was run."""
    images = evaluated(base)
    with started(base / "model") as where:
        opened(window, where).drop({f"{name}.jpg": image for name, (image, _) in images.items()})
        window.done(16)
        for name, (_, mask) in images.items():
            window.show(name)
            assert window.downloaded("#save-mask", f"{name}_segmentation.png") == mask
            shape = np.asarray(Image.open(io.BytesIO(mask))).shape
            assert encode_mask(filled(window.outline(), *shape)) == mask


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.fromarray(PIXELS[0]), "TIFF"),
        jpeg(stored(PIXELS[0], 8), exif=exif(8)),
        png(PIXELS[0][..., 0]),
    ],
    ids=["TIFF", "turned", "grey"],
)
def test_any_photograph_that_the_server_reads_is_shown_upright(page, content):
    page.drop({"one": content})
    page.done(1)
    size = "const i = document.querySelector('.view img'); return [i.naturalWidth, i.naturalHeight]"
    page.wait(lambda: page.run(size) == [130, 90])
    assert page.one("#photograph-size").text.startswith("130×90 pixels")


def test_samples_can_be_tried(page):
    page.wait(lambda: page.all("#samples button"))
    page.all("#samples button")[1].click()
    page.done(1)
    assert page.one("#photograph-name").text == "drawing 2.jpg"


# ---- the threshold ----


def test_the_slider_acts_at_once_and_ends_at_the_servers_mask(page, segmenter):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    before = page.outline()
    chosen = segmenter.settings.threshold
    page.run(
        "window.fetch = new Proxy(window.fetch, { apply: (...all) => { window.asked = 1;"
        " return Reflect.apply(...all); } })"
    )
    page.drag("#threshold", 0.52)
    at_once = page.outline()
    assert page.run("return window.asked") is None and at_once != before
    (found,) = segmenter.several([PHOTOGRAPHS["0.jpg"]], [0.52])
    page.wait(lambda: page.outline() == rings(found.decided.mask))
    assert iou(inside(at_once), found.decided.mask) > 0.97 and found.decided.mask.any()
    assert page.measures()["Area"] == [f"{np.count_nonzero(found.decided.mask):,} px²"]
    assert page.rows()[0]["threshold"] == "0.52"
    assert page.downloaded("#save-mask", "0_segmentation.png") == encode_mask(found.decided.mask)
    page.one("#reset").click()
    page.wait(lambda: page.outline() == before)
    assert float(page.one("#threshold").get_attribute("value")) == chosen


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("rule", ["largest_component", "fill_holes"])
def test_what_the_slider_shows_at_once_follows_the_models_rules(window, tmp_path, resize, rule):
    chosen = {"largest_component": False, "fill_holes": False, rule: True}
    segmenter = Segmenter.of_folder(write_model(tmp_path, resize=resize, **chosen))
    with served(segmenter) as where:
        opened(window, where).drop({"2.jpg": PHOTOGRAPHS["2.jpg"]})
        window.done(1)
        for threshold in (0.35, 0.6):
            window.drag("#threshold", threshold)
            at_once = inside(window.outline())
            (found,) = segmenter.several([PHOTOGRAPHS["2.jpg"]], [threshold])
            window.wait(lambda mask=found.decided.mask: window.outline() == rings(mask))
            assert iou(at_once, found.decided.mask) > 0.97


# ---- what is known of it ----


def test_measures_are_those_of_the_server_and_in_millimetres_by_a_ruler(page, where):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    answer = requests.post(f"{where}/v1/segment", PHOTOGRAPHS["0.jpg"], timeout=30).json()
    measures = answer["measures"]
    assert page.one("#expected").text == f"{answer['expected_dice']:.2f}"
    assert page.measures()["Diameter"] == [f"{measures['diameter']:.0f} px"]
    assert page.measures()["Share"] == [f"{100 * measures['lesion_share']:.1f} %"]
    page.one("#ruler").click()
    page.drawn()
    first, _ = page.all(".handle:not([hidden])")
    first.send_keys("")  # focuses it
    place = first.get_attribute("aria-label")
    page.press("ARROW_LEFT", "ARROW_UP")
    page.drawn()
    assert first.get_attribute("aria-label") != place
    page.one("#distance").send_keys("5")
    page.drawn()
    length = np.hypot(0.3 * 130 + 1, 1)  # the points lie 30 % of the width apart at first
    scale = 5 / length
    assert page.measures()["Diameter"] == [f"{measures['diameter'] * scale:.2f} mm"]
    assert page.measures()["Area"] == [f"{measures['area'] * scale**2:.2f} mm²"]
    assert float(page.rows()[0]["mm_per_pixel"]) == pytest.approx(scale, rel=1e-4)
    page.one("#ruler").click()
    page.drawn()
    assert page.measures()["Diameter"] == [f"{measures['diameter']:.0f} px"]


def test_the_rulers_points_are_dragged_and_stay_on_the_photograph(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    page.one("#ruler").click()
    page.drawn()
    first, second = page.all(".handle:not([hidden])")
    wide = page.one(".frame .picture").size["width"]
    ActionChains(page.driver).drag_and_drop_by_offset(first, round(-0.2 * wide), 0).perform()
    ActionChains(page.driver).drag_and_drop_by_offset(second, 0, 90).perform()
    page.drawn()
    places = [one.get_attribute("aria-label").split(" at ")[1] for one in (first, second)]
    (x1, y1), (x2, y2) = (map(int, place.split(";")[0].split(", ")) for place in places)
    assert abs(x1 - 0.15 * 130) <= 1 and abs(y1 - 0.9 * 90) <= 1
    assert abs(x2 - 0.65 * 130) <= 1 and y2 == 90


@pytest.mark.parametrize(
    ("limit", "words"), [(1.0, "Look at this one yourself."), (0.0, "Expected")]
)
def test_it_is_said_in_words_which_ones_a_person_should_look_at(window, tmp_path, limit, words):
    with served(Segmenter.of_folder(write_model(tmp_path, review_limit=limit))) as where:
        opened(window, where).drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
        window.done(1)
        assert window.one("#words").text.startswith(words)
        look = window.one("#thumbnails button").get_attribute("aria-label")
        assert ("look at this one yourself" in look) == (limit == 1)


@pytest.mark.parametrize("origin", ["synthetic", "photographs"])
def test_a_model_that_learnt_from_drawings_says_so_and_none_is_a_medical_device(
    window, tmp_path, origin
):
    with served(Segmenter.of_folder(write_model(tmp_path, origin=origin))) as where:
        opened(window, where)
        assert window.one("#drawings").is_displayed() == (origin == "synthetic")
        assert "nothing here may be used for diagnosis or treatment" in window.one(".warning").text


def test_two_photographs_lie_side_by_side_with_what_has_changed(page, segmenter):
    page.drop(PHOTOGRAPHS)
    page.done(4)
    page.drag("#compare", 2)
    assert len(page.all(".view")) == 2
    assert page.texts("figcaption") == ["0.jpg", "2.jpg"]
    now, before = (
        np.count_nonzero(segmenter(PHOTOGRAPHS[f"{n}.jpg"]).decided.mask) for n in (0, 2)
    )
    change = f"{'−' if now < before else '+'}{abs(now - before):,}"
    assert page.measures()["Area"] == [f"{now:,} px²", f"{before:,} px²", change]
    page.drag("#compare", "")
    assert len(page.all(".view")) == 1


def test_the_probability_is_shown_where_it_is_asked_for(page):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    for layer, canvas, region in (
        ("heat", "block", "none"),
        ("region", "none", "inline"),
        ("outline", "none", "none"),
    ):
        page.run("document.querySelector(`[name=layer][value=${arguments[0]}]`).click()", layer)
        assert page.style(".frame canvas", "display") == canvas
        assert page.style(".region", "display") == region
    count = (
        "return new Set(document.querySelector('canvas').getContext('2d')"
        ".getImageData(0, 0, 16, 16).data).size"
    )
    assert page.run(count) > 10


@pytest.mark.parametrize("zoom", [1, 2, 4])
def test_all_of_an_enlarged_photograph_is_within_reach_and_its_middle_is_shown_first(page, zoom):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    page.run("document.querySelector(`[name=zoom][value='${arguments[0]}']`).click()", zoom)
    left, right = page.run(
        "const frame = document.querySelector('.frame');"
        "const [a, b] = [frame, frame.firstElementChild].map((e) => e.getBoundingClientRect());"
        "return [a.left - b.left, b.right - a.right]"
    )
    assert left == pytest.approx(right, abs=16)  # a scroll bar
    assert (left > 0) == (zoom > 1)
    assert page.run("return document.querySelector('.frame').scrollLeft") == pytest.approx(
        max(0, left), abs=2
    )


# ---- many, bad and huge files ----


def test_bad_files_are_named_with_the_reason_and_the_others_go_on(page):
    files = {
        "words.jpg": b"words",
        "half.jpg": PHOTOGRAPHS["0.jpg"][: len(PHOTOGRAPHS["0.jpg"]) // 2],
        "empty.jpg": b"",
        "good.jpg": PHOTOGRAPHS["1.jpg"],
        "many pixels.png": huge_png(20_000, 20_000),
    }
    page.drop(files)
    page.done(5)
    assert [state.startswith("done") for state in page.states()] == [False] * 3 + [True, False]
    reasons = {
        "words.jpg": "not an image",
        "half.jpg": "expected a whole JPEG",
        "empty.jpg": "the file is empty",
        "many pixels.png": "20000×20000 pixels; expected at most 100,000,000",
    }
    for name, words in reasons.items():
        page.show(name)
        assert words in page.one("#failure").text
        assert not page.one("#found").is_displayed()
    page.show("good.jpg")
    assert page.one("#found").is_displayed() and not page.one("#failure").is_displayed()
    assert [row["file"] for row in page.rows()] == ["good.jpg"]


def test_a_huge_file_is_refused_without_being_sent(page):
    page.run(
        "const data = new DataTransfer();"
        "data.items.add(new File([new Uint8Array(1e8)], 'huge.jpg'));"
        "document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }))"
    )
    page.done(1)
    assert "found 100 MB; expected at most 67" in page.one("#failure").text
    sent = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert not [name for name in page.run(sent) if "segment" in name]


def test_fifty_photographs_stay_in_their_order_and_are_one_table(page, segmenter):
    files = {f"{number:02}.jpg": PHOTOGRAPHS[f"{number % 4}.jpg"] for number in range(50)}
    page.drop(files)
    page.done(50)
    rows = page.rows()
    assert [row["file"] for row in rows] == list(files)
    areas = [np.count_nonzero(segmenter(one).decided.mask) for one in PHOTOGRAPHS.values()]
    assert [float(row["area"]) for row in rows] == [areas[number % 4] for number in range(50)]
    assert page.one("#status").text == "" or "done" in page.one("#status").get_attribute(
        "textContent"
    )


def test_a_photograph_that_is_removed_is_gone_and_the_next_one_is_shown(page):
    page.drop({name: PHOTOGRAPHS[name] for name in ("0.jpg", "1.jpg")})
    page.done(2)
    page.one("#remove").click()
    page.drawn()
    assert page.one("#photograph-name").text == "1.jpg" and len(page.states()) == 1
    page.one("#remove").click()
    page.drawn()
    assert page.one("#begin").is_displayed()


# ---- others, and a server that goes away ----


def test_two_people_at_once_each_see_their_own(page, where, segmenter):
    first = page.driver.current_window_handle
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.driver.switch_to.new_window("tab")
    try:
        opened(page, where).drop({"1.jpg": PHOTOGRAPHS["1.jpg"]})
        page.done(1)
        assert page.outline() == rings(segmenter(PHOTOGRAPHS["1.jpg"]).decided.mask)
    finally:
        page.driver.close()
        page.driver.switch_to.window(first)
    page.done(1)
    assert page.outline() == rings(segmenter(PHOTOGRAPHS["0.jpg"]).decided.mask)


def test_a_server_that_is_killed_in_between_is_named_and_waited_for(window, tmp_path, segmenter):
    model = write_model(tmp_path / "model")
    files = {f"{number:02}.jpg": PHOTOGRAPHS[f"{number % 4}.jpg"] for number in range(8)}
    with started(model) as where:
        opened(window, where).drop({"first.jpg": PHOTOGRAPHS["0.jpg"]})
        window.done(1)
    window.drop(files)
    window.wait(lambda: window.one("#away").is_displayed(), 30)
    assert "The server does not answer" in window.one("#away").text
    assert window.states()[1:].count("") + len([s for s in window.states() if s]) == 9
    with started(model, urlsplit(where).port):
        window.done(9)
        assert not window.one("#away").is_displayed()
        assert all(state.startswith("done") for state in window.states())
    window.driver.get_log("browser")  # of the time without a server


# ---- keyboard, sizes, colours, paper ----


def test_all_that_can_be_done_is_reached_by_keyboard(page):
    page.drop(PHOTOGRAPHS)
    page.done(4)
    page.one("#ruler").click()
    page.drawn()
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = []
    for _ in range(60):
        page.press("TAB")
        name = (
            "const e = document.activeElement;"
            "return e.id || e.name || e.className || e.tagName + e.closest('ul, nav')?.id"
        )
        reached.append(page.run(name))
    wanted = {"choose", "layer", "zoom", "handle", "remove", "threshold", "ruler", "distance"}
    wanted |= {"compare", "save-mask", "save-overlay", "save-table", "BUTTONthumbnails"}
    assert wanted <= set(reached)
    page.all("#thumbnails button")[0].send_keys("")
    page.press("ARROW_DOWN")
    page.drawn()
    assert page.one("#photograph-name").text == "1.jpg"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_nothing_is_wider_than_the_window_or_hard_to_use(page, size, scheme):
    page.size(*size)
    page.media(prefers_color_scheme=scheme)
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    assert page.run("return innerWidth") == size[0] and page.run(fits)
    problems = checked(page)
    page.drop({**PHOTOGRAPHS, "a very long name without any gap, " * 4: b"words"})
    page.done(5)
    page.one("#ruler").click()
    page.drag("#compare", 1)
    page.run("document.querySelector('[name=zoom][value=\"4\"]').click()")
    assert page.run(fits)
    problems += checked(page)
    page.all("#thumbnails button")[4].click()
    page.drawn()
    assert page.run(fits)
    assert problems + checked(page) == []
    background = page.style("body", "background-color")
    assert (background == "rgba(255, 255, 255, 1)") == (scheme == "light")


def checked(page: Page) -> list[str]:
    """What axe finds, serious or worse; nothing where it is not there."""
    if not AXE:
        return []
    page.run(Path(AXE).read_text(encoding="utf-8"))
    found = page.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then(({ violations }) => done(violations))"
    )
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_the_photograph_and_its_measures_are_printed_without_controls(page):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    page.media("print")
    for selector in (".view", ".measures", ".confidence", ".warning"):
        assert page.one(selector).is_displayed()
    for selector in (".strip", ".layers", ".below", "#threshold", ".ruler"):
        assert not page.one(selector).is_displayed()


def test_nothing_is_loaded_from_elsewhere(page, where):
    page.drop({"0.jpg": PHOTOGRAPHS["0.jpg"]})
    page.done(1)
    names = page.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert names
    assert {name.split("/")[2] for name in names if not name.startswith(("data:", "blob:"))} == {
        where.split("/")[2]
    }


def test_the_page_for_programs_is_shown(window, where):
    window.open(f"{where}/docs")
    assert window.texts("h2")[0] == "POST /v1/segment"
    assert json.loads(requests.get(f"{where}/openapi.json", timeout=30).text)["openapi"]
    assert checked(window) == []
