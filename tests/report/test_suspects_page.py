"""The page of suspects, as a person uses it in a browser."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from browser import Window
from lesion.photos.exclusions import VERDICTS, read_exclusions
from lesion.report.page import Case
from lesion.report.page.suspects import write_suspects
from lesion.synthetic import lesion_image

pytestmark = pytest.mark.long

HOSTILE = 'a "comma", </script><script>hurt=1</script>'


def case(number: int) -> Case:
    image, truth = lesion_image(number, 48, 64)
    scores = {"score": 9.0 - number, "dice": 0.1, "expected_dice": 0.9}
    traits = {"difference": "shifted", "reason": HOSTILE if number == 1 else "moved"}
    return Case(f"ISIC_{number}", "test", scores, traits, image, truth, np.roll(truth, 5, axis=1))


def write(path: Path, count: int = 4) -> Path:
    write_suspects(path, title="Suspects", note="4 of 9", cases=map(case, range(count)))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("suspects") / "suspects.html")


@pytest.fixture
def window(driver: object, page: Path) -> Iterator[Window]:
    """The page with no verdict yet; a test that leaves an error in its console fails."""
    window = Window(driver).open(page)
    window.run("localStorage.clear()")
    yield window.open(page)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    window.media()
    assert driver.get_log("browser") == []


def type_keys(window: Window, *letters: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for letter in letters:
        ActionChains(window.driver, 0).send_keys(letter).perform()


def pressed(window: Window) -> list[str | None]:
    return window.run(
        "return [...document.querySelectorAll('#suspects article')].map((article) =>"
        " article.querySelector('[aria-pressed=true]')?.dataset.verdict ?? null)"
    )


def focused(window: Window) -> int:
    return window.run(
        "return [...document.querySelectorAll('#suspects article')].indexOf(document.activeElement)"
    )


def test_equal_suspects_give_equal_bytes(tmp_path, page):
    assert write(tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_keys_judge_one_after_the_other_and_a_reload_keeps_the_verdicts(window, page):
    type_keys(window, "k", "x", "u")
    assert pressed(window) == ["keep", "leave out", "unsure", None] and focused(window) == 3
    window.press("ARROW_LEFT", "ARROW_UP")
    assert focused(window) == 1
    type_keys(window, "k")
    window.press("ARROW_RIGHT")
    type_keys(window, "x", "x")
    assert pressed(window) == ["keep", "keep", "unsure", "leave out"]
    assert window.one("#count").text == "4 of 4 judged: 2 keep, 1 leave out, 1 unsure"
    window.open(page)
    assert pressed(window) == ["keep", "keep", "unsure", "leave out"]


def test_verdicts_of_other_suspects_are_kept_apart(window, tmp_path):
    type_keys(window, "x")
    assert pressed(window.open(write(tmp_path / "other.html", 3))) == [None] * 3


def test_buttons_judge_and_take_back_and_a_slider_keeps_its_keys(window):
    second = window.all("#suspects article")[1].find_elements("css selector", "button")
    assert [button.get_attribute("data-verdict") for button in second] == list(VERDICTS)
    second[1].click()
    assert pressed(window) == [None, "leave out", None, None]
    second[1].click()
    assert pressed(window) == [None] * 4
    window.one("[name=fade]").click()
    window.press("ARROW_RIGHT")
    type_keys(window, "x")
    assert pressed(window) == [None] * 4 and focused(window) == -1


def test_the_file_that_is_downloaded_is_one_that_the_pipeline_reads(window, tmp_path):
    command = {"behavior": "allow", "downloadPath": str(tmp_path)}
    window.driver.execute_cdp_cmd("Page.setDownloadBehavior", command)
    assert not window.one("#download").is_enabled()
    type_keys(window, "k", "x", "u")
    window.one("#download").click()
    path = tmp_path / "exclude.csv"
    window.wait(path.exists)
    assert read_exclusions(path, [f"ISIC_{n}" for n in range(4)]) == {
        "ISIC_1": f"shifted: {HOSTILE}"
    }
    rows = list(csv.reader(path.read_text().splitlines()))
    assert [row[:2] for row in rows[1:]] == [
        ["ISIC_0", "keep"],
        ["ISIC_1", "leave out"],
        ["ISIC_2", "unsure"],
    ]
    assert window.run("return typeof hurt") == "undefined"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_and_buttons_are_large_enough(window, page, scheme):
    window.media(prefers_color_scheme=scheme)
    window.size(390, 800)
    window.open(page)
    assert window.run("return document.documentElement.scrollWidth") <= 390
    for button in window.all("#suspects button"):
        assert button.size["height"] >= 44 and button.size["width"] >= 44
    colours = [window.style("body", name) for name in ("color", "background-color")]
    assert colours[0] != colours[1]


def test_what_a_screen_reader_says_has_names_and_states(window):
    type_keys(window, "x")
    article = window.all("#suspects article")[0]
    assert article.accessible_name == "1. ISIC_0"
    buttons = article.find_elements("css selector", "button")
    assert [button.get_attribute("aria-pressed") for button in buttons] == [
        "false",
        "true",
        "false",
    ]
    assert [button.accessible_name for button in buttons] == list(VERDICTS)
