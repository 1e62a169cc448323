"""A page as a person uses it, in Chromium without a window."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest


@contextmanager
def chromium(profile: Path) -> Iterator[object]:
    """A driver of the browser; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    browser, server = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and server):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for name in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "force-device-scale-factor=1",
        "force-prefers-reduced-motion",  # or a click may come while the page still scrolls
        "window-size=1280,900",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(server))
    try:
        yield started
    finally:
        started.quit()


class Window:
    """A window of the browser."""

    def __init__(self, driver: object) -> None:
        self.driver = driver

    def open(self, page: Path | str, **settings: object) -> Window:
        """Opens a file, or an address, with settings in its address, from scratch."""
        where = page.as_uri() if isinstance(page, Path) else page
        self.driver.get("about:blank")
        self.driver.get(where + (f"#{urlencode(settings)}" if settings else ""))
        return self

    def run(self, script: str, *values: object) -> object:
        return self.driver.execute_script(script, *values)

    def all(self, selector: str) -> list:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> object:
        (found,) = self.all(selector)
        return found

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def style(self, selector: str, name: str) -> str:
        return self.all(selector)[0].value_of_css_property(name)

    def press(self, *keys: str) -> None:
        """Presses keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            ActionChains(self.driver, 0).send_keys(getattr(Keys, key)).perform()

    def wait(self, until: Callable[[], object], seconds: float = 5) -> object:
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.02).until(lambda _: until())

    def size(self, width: int, height: int) -> None:
        """Of the window, as a phone's where it is narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, media: str = "", **features: str) -> None:
        chosen = [{"name": name.replace("_", "-"), "value": features[name]} for name in features]
        command = {"media": media, "features": chosen}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", command)
