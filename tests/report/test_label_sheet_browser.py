"""The page of ``data next --page`` in a real browser: what it saves is a label file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import CHROMIUM, DRIVER, Page, chrome

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="chromium or chromedriver is not installed"),
]

import numpy as np  # noqa: E402
from caches import image, write  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

from arcage.data.join import labelled_faces  # noqa: E402
from arcage.heads.model import Predictions  # noqa: E402
from arcage.report.label_sheet import make_sheet, write_page, write_sheet  # noqa: E402

EVIL = '"</script><b>,;=1.jpg'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chrome(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def test_a_sheet_is_filled_in_and_saved(browser: webdriver.Chrome, tmp_path: Path) -> None:
    names = ["a.jpg", EVIL, "=sum.jpg"]
    cache = write(tmp_path / "cache", [(name, image(name)) for name in names])
    table = cache.table()
    hashes = table.sha256(np.arange(3))
    by_hash = {image(name).sha256: [name] for name in names}
    sheet = make_sheet(table, np.arange(3), Predictions.empty(3), by_hash)
    write_sheet(tmp_path / "sheet.csv", sheet)
    write_page(tmp_path / "sheet.html", sheet, [], "sheet.csv")
    page = Page(browser, (tmp_path / "sheet.html").as_uri())
    assert len(page.all("fieldset")) == 3
    assert page.one("#done").text == "0 of 3 faces have a label"
    ages, genders = page.all("fieldset input"), page.all("fieldset select")
    at = [next(i for i, sha256 in enumerate(hashes) if by_hash[sha256] == [name]) for name in names]
    ages[at[0]].send_keys("31.5")
    ages[at[1]].send_keys("7")
    Select(genders[at[1]]).select_by_value("female")
    ages[at[2]].send_keys("900")  # not an age
    assert page.one("#done").text == "2 of 3 faces have a label, not saved yet"
    page.one("#save").click()
    file: Path = browser.downloads / "sheet.csv"  # type: ignore[attr-defined]
    page.until(lambda: file.exists() and file.read_text("utf-8").endswith("\n"))
    assert file.read_text("utf-8").splitlines()[0] == (tmp_path / "sheet.csv").read_text().splitlines()[0]
    faces = labelled_faces(cache, str(file))
    known = zip(faces.age.tolist(), faces.gender.tolist(), strict=True)
    labels = dict(zip(faces.sha256(), known, strict=True))
    assert labels[image(EVIL).sha256] == (7, 1)
    assert labels[image("a.jpg").sha256][0] == 31.5
    assert len(labels) == 2
    assert not page.requests()[1:], "the page loads nothing"
