"""Chromium, driven by chromedriver, and helpers to read and operate a page.

Needs Debian's chromium and chromium-driver, and selenium. Modules that import this one are skipped without
selenium.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@contextmanager
def chrome(downloads: Path, *arguments: str) -> Iterator[webdriver.Chrome]:
    """Start a browser that can only reach this machine."""
    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        *arguments,
    ):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.downloads = downloads  # type: ignore[attr-defined]
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """A page in the browser."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.url = url
        self.size(1280)
        browser.get(url)

    def size(self, width: int, *, dark: bool = False) -> None:
        """Set the width of the window, in CSS pixels, and the colour scheme."""
        mobile = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def one(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text.replace("\xa0", " ") for element in self.all(selector)]

    def js(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def until(self, true: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, 60, 0.05).until(lambda _: true())

    def upload(self, *files: Path) -> None:
        """Choose files, and wait for their predictions."""
        self.one("#files").send_keys("\n".join(map(str, files)))
        self.wait_for_results()

    def wait_for_results(self) -> None:
        self.until(lambda: self.js("return requested > 0 && running === 0"))

    def slide(self, name: str, value: int) -> None:
        """Move a slider."""
        self.js(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
            self.one(f"#{name}"),
            value,
        )

    def download(self) -> str:
        """Download the CSV file and return its text."""
        file: Path = self.browser.downloads / "arcage.csv"  # type: ignore[attr-defined]
        file.unlink(missing_ok=True)
        self.one("#download").click()
        self.until(lambda: file.exists() and file.read_text("utf-8").endswith("\n"))
        return file.read_text("utf-8")

    def requests(self) -> list[str]:
        """Return the URLs requested since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def rectangle(element: Any) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom edge of an element, CSS pixels."""
    r = element.rect
    return r["x"], r["y"], r["x"] + r["width"], r["y"] + r["height"]


def shared(a: Any, b: Any) -> float:
    """Return the overlap of two elements, square CSS pixels."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = rectangle(a), rectangle(b)
    return max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
