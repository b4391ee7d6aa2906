"""The page of ``predict --report`` in a real browser, with 5,000 faces."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsers import CHROMIUM, DRIVER, Page, chrome

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="chromium or chromedriver is not installed"),
]

from pages import EVIL, FACE, NO_FACE, written  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from arcage.sources.source import Source  # noqa: E402
from arcage.types import Prediction  # noqa: E402

PHOTO = (Path(__file__).parents[2] / "examples" / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chrome(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def answers() -> list[Prediction]:
    """5,000 images, one without age and gender, one without a face, one unreadable."""
    draw = random.Random(0)
    rows = [
        replace(NO_FACE, path="000-none.jpg"),
        replace(NO_FACE, path=EVIL, status="unreadable", error="empty <b>file</b>"),
        replace(FACE, path="002-unsure.jpg", age=None, gender=None, faces=2),
    ]
    for i in range(3, 5000):
        age, p_female = round(draw.uniform(10, 70), 1), round(draw.random(), 4)
        width = draw.choice([10.0, 20.0, 30.0])
        rows.append(
            replace(
                FACE,
                path=f"{i:04}.jpg",
                age=age,
                age_low=age - width / 2,
                age_high=age + width / 2,
                p_female=p_female,
                gender="female" if p_female >= 0.5 else "male",
                det_score=round(draw.uniform(0.5, 1), 3),
            )
        )
    return rows


ROWS = answers()
FACES = [row for row in ROWS if row.status == "ok"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "out.html"
    # All images have the same content.
    boxes = ({} if row.face is None else {"x1": 178, "y1": 63, "x2": 268, "y2": 175} for row in ROWS)
    rows = [replace(row, **box) for row, box in zip(ROWS, boxes, strict=True)]
    written(path, *((Source(row.path, row.path, data=PHOTO), [row]) for row in rows))
    return path


@pytest.fixture
def page(browser: webdriver.Chrome, file: Path) -> Iterator[Page]:
    browser.get_log("performance")
    browser.get_log("browser")
    page = Page(browser, file.as_uri())
    page.until(lambda: page.all("#histograms svg"))
    yield page
    assert {asked.split(":")[0] for asked in page.requests()} <= {"file", "data"}
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def soon(page: Page) -> None:
    """Wait for the next frame, in which the page draws."""
    page.browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
    )


def put(page: Page, name: str, value: Any) -> None:
    page.js(
        "arguments[0].value = arguments[1];arguments[0].dispatchEvent(new Event('input', { bubbles: true }))",
        page.one(f"#{name}"),
        value,
    )
    soon(page)


def passing(page: Page) -> int:
    """Return the number of faces that the page says match the filters."""
    count: int = page.js("return shown.filter((row) => row.status === 'ok').length")
    assert f"match the filters below: {count:,}" in page.one("#counted").text
    return count


def test_the_page_shows_all_rows(page: Page, file: Path) -> None:
    start = time.monotonic()
    page.browser.get(file.as_uri())
    assert len(page.all("#faces tbody tr")) == 100
    assert time.monotonic() - start < 20  # a fraction of a second on a machine that is not busy
    assert file.stat().st_size < 30_000_000
    assert page.texts(".tile .value") == ["5,000", "4,998", "1", "1"]
    words = page.texts("#faces tbody td.words")
    assert words == ["No face was found.", "Cannot be read: empty <b>file</b>."]
    assert page.texts("#faces td.path")[1] == EVIL.replace("\u202e", "\\u202e")
    assert page.js("return document.querySelectorAll('img[onerror], b b').length") == 0
    row = ROWS[3]
    assert page.texts("#faces td.age")[:2] == ["–", f"{row.age:.0f}"]
    assert page.texts("#faces .interval span")[1] == f"{row.age_low:.0f}–{row.age_high:.0f}"
    assert page.js("return document.querySelector('#faces img').naturalWidth") == 96
    bar, drawn = page.all(".interval")[1].rect, page.all(".interval i")[1].rect
    axis = page.js("return AXIS")
    ends = [axis * (drawn["x"] - bar["x"] + w) / bar["width"] for w in (0, drawn["width"])]
    assert ends == pytest.approx([row.age_low, row.age_high], abs=1)


def test_histograms_count_the_matching_faces(page: Page) -> None:
    titles = page.texts("#histograms strong")
    female = sum(row.gender == "female" for row in FACES)
    assert titles == [f"female: {female:,}", f"male: {len(FACES) - 1 - female:,}"]
    (label, _) = [svg.get_attribute("aria-label") for svg in page.all("#histograms svg")]
    young = sum(row.gender == "female" and 20 <= (row.age or 0) < 25 for row in FACES)
    assert f"20 to 25: {young}" in label
    put(page, "from", 60)
    assert "20 to 25" not in page.one("#histograms svg").get_attribute("aria-label")


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({"from": 20, "to": 30}, lambda row: row.age is not None and 20 <= row.age <= 30),
        ({"gender": "female"}, lambda row: row.gender == "female"),
        ({"gender": "none"}, lambda row: row.gender is None),
        ({"width": 20}, lambda row: round(row.age_high - row.age_low, 1) <= 20),
        ({"confidence": 90}, lambda row: max(row.p_female, round(1 - row.p_female, 4)) >= 0.9),
        ({"score": 75}, lambda row: row.det_score >= 0.75),
        ({"gender": "male", "width": 10, "from": 50}, None),
        ({"name": "0042"}, lambda row: "0042" in row.path),
        ({"status": "unreadable"}, lambda row: False),
    ],
)
def test_filters(page: Page, settings: dict[str, Any], passes: Any) -> None:
    for name, value in settings.items():
        put(page, name, value)
    if passes is None:

        def passes(row: Prediction) -> bool:
            assert row.age_low is not None
            assert row.age_high is not None
            narrow = round(row.age_high - row.age_low, 1) <= 10
            return row.gender == "male" and narrow and row.age is not None and row.age >= 50

    assert passing(page) == sum(map(passes, FACES))
    page.one("#filters [type=reset]").click()
    soon(page)
    assert passing(page) == len(FACES)


def test_status(page: Page) -> None:
    put(page, "status", "unreadable")
    assert page.texts("#faces tbody td.words") == ["Cannot be read: empty <b>file</b>."]
    put(page, "name", "nothing has this name")
    assert page.one("#nothing").is_displayed()
    assert page.all("#faces tbody tr") == []


def test_sorting_and_pages(page: Page) -> None:
    def button(key: str) -> Any:
        return page.one(f'#faces [data-key="{key}"]')

    button("age").click()
    shown = sorted(row.age for row in FACES if row.age is not None)
    assert page.texts("#faces td.age") == [f"{age + 1e-9:.0f}" for age in shown[:100]]
    assert page.js("return arguments[0].parentElement.ariaSort", button("age")) == "ascending"
    button("age").click()
    assert page.texts("#faces td.age")[0] == f"{shown[-1] + 1e-9:.0f}"
    assert page.js("return arguments[0].parentElement.ariaSort", button("age")) == "descending"
    # Rows without a value are last in both directions.
    page.js("turn(1e9)")
    assert page.one("#page").get_attribute("value") == "50"
    assert page.texts("#faces td.words")[0].startswith("No face")
    assert page.texts("#faces td.words")[1].startswith("Cannot be read")
    assert not page.one("#next").is_enabled()
    for key, value in {
        "width": lambda row: round(row.age_high - row.age_low, 1),
        "gender": lambda row: row.gender or "none",
        "confidence": lambda row: max(row.p_female, round(1 - row.p_female, 4)),
        "score": lambda row: row.det_score,
        "path": lambda row: row.path,
    }.items():
        button(key).click()
        first = page.js("return shown[0].path")
        rows = ROWS if key == "path" else FACES
        assert first == min(rows, key=value).path


def test_by_keyboard(page: Page) -> None:
    names = []
    outline = "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth]"
    while names[-1:] != ["path"]:
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        focus = page.browser.switch_to.active_element
        names.append(
            focus.get_attribute("id") or focus.get_attribute("data-key") or focus.get_attribute("type")
        )
        assert page.js(outline, focus) == ["solid", "3px"], names
        assert len(names) < 30
        if names[-1] == "width" and "width" not in names[:-1]:
            focus.send_keys(Keys.ARROW_LEFT)
            assert page.one("#width-value").text in ("any", "59 years")
            soon(page)
            assert page.one("#width-value").text == "59 years"
    assert names == [
        *("status", "gender", "from", "to", "width", "confidence", "score", "name", "reset"),
        *("order", "age", "width", "gender", "confidence", "score", "path"),
    ]
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.js("return [key, up]") == ["path", True]
    for expected in ("page", "next"):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        assert page.browser.switch_to.active_element.get_attribute("id") == expected
    # The page buttons are visible from everywhere in the table; the next page starts at its top.
    assert 0 < page.one("#next").rect["y"] - page.js("return scrollY") < 844
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.one("#page").get_attribute("value") == "2"
    assert page.js("return Math.round(document.getElementById('faces').getBoundingClientRect().y)") == 0


def test_on_a_phone_and_in_the_dark(page: Page) -> None:
    page.size(390)
    assert page.js("return document.documentElement.scrollWidth") == 390
    for element in page.all("button, select, input:not([type=range])"):
        assert element.rect["height"] >= 44
    name = page.all("#faces td.path")[0]
    assert name.rect["width"] > 200
    colour = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert min(page.js(colour)) > 230
    page.size(390, dark=True)
    assert max(page.js(colour)) < 40
