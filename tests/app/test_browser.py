"""The page in a real browser, on the real networks: what it shows, and that it contacts no other server.

Needs Debian's chromium and chromium-driver, and selenium.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette")
from browsers import CHROMIUM, DRIVER, Page, chrome, rectangle, shared

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="chromium or chromedriver is not installed"),
]

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from arcage.images.decoder import decode  # noqa: E402

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def arcage_on(compiled: Path) -> Callable[..., str]:
    """Run the command line on the real pipeline; returns its standard output."""
    if not (ROOT / "arcage" / "heads" / "default" / "manifest.json").exists():
        pytest.skip("the heads are not built")

    def run(*arguments: object) -> str:
        return subprocess.run(
            [sys.executable, "-m", "arcage", *map(str, arguments)],
            env={**os.environ, "XDG_CACHE_HOME": str(compiled)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


@pytest.fixture(scope="module")
def url(arcage_on: Callable[..., str], compiled: Path) -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "arcage", "app", "--port", "0", "--device", "cpu"],
        env={**os.environ, "XDG_CACHE_HOME": str(compiled)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    folder = tmp_path_factory.mktemp("browser")
    # A webcam that shows the sample.
    (folder / "webcam.mjpeg").write_bytes(PHOTO.read_bytes() * 3)
    with chrome(
        folder,
        "use-fake-ui-for-media-stream",
        "use-fake-device-for-media-stream",
        f"use-file-for-fake-video-capture={folder / 'webcam.mjpeg'}",
    ) as driver:
        yield driver


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> Iterator[Page]:
    browser.get_log("performance")
    browser.get_log("browser")
    page = Page(browser, url)
    yield page
    # Offline: every request went to arcage, and the browser logged no error.
    for requested in page.requests():
        parts = urlsplit(requested)
        assert parts.scheme in ("data", "blob") or parts.netloc == urlsplit(url).netloc, requested
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of several kinds."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(PHOTO, folder / "astronaut.jpg")
    pixels = cv2.cvtColor(decode(PHOTO.read_bytes()), cv2.COLOR_RGB2BGR)
    half = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)
    group = np.full((512, 1024, 3), 128, np.uint8)
    group[:, :512] = pixels
    group[128:384, 512:768], group[128:384, 768:] = half[:, ::-1], half
    cv2.imwrite(str(folder / "group.png"), group)
    cv2.imwrite(str(folder / "group.tif"), group)
    sky = np.linspace(230, 150, 480, dtype=np.uint8)[:, None, None] * np.ones((1, 640, 3), np.uint8)
    cv2.imwrite(str(folder / "sky.png"), sky)
    (folder / "notes.jpg").write_text("Milk, bread, eggs.")
    (folder / "huge.png").write_bytes(_png(20_000, 20_000))
    return folder


def _png(width: int, height: int) -> bytes:
    """Return a valid black PNG with one bit per pixel: small until it is decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_the_sample(page: Page, files: Path, arcage_on: Callable[..., str]) -> None:
    row = json.loads(arcage_on("predict", PHOTO, "--format", "jsonl"))
    page.upload(files / "astronaut.jpg")
    assert page.one("#status").text == "1 photo, 1 face."
    (label,) = page.texts(".label")
    age, rest = label.split(" ", 1)
    assert float(age) == pytest.approx(row["age"], abs=0.6)
    low, high = rest.split("\n")[0].strip("()").split("–")
    assert (float(low), float(high)) == pytest.approx((row["age_low"], row["age_high"]), abs=0.6)
    assert rest.split("\n")[1] == f"female {row['p_female']:.0%}".replace("%", " %")
    (box,) = page.all(".box")
    picture = page.one("#picture").rect
    scale = picture["width"] / 512
    expected = [row[name] * scale for name in ("x1", "y1", "x2", "y2")]
    seen = np.array(rectangle(box)) - [picture["x"], picture["y"]] * 2
    assert seen == pytest.approx(expected, abs=2)
    assert page.texts("td.age") == [age]
    assert page.texts(".interval") == [f"{low}–{high}"]
    assert page.texts("td:last-child") == [rest.split("\n")[1]]
    # The interval is drawn to scale.
    bar, drawn = page.one(".bar").rect, page.one(".bar i").rect
    ends = [80 * (drawn["x"] - bar["x"] + w) / bar["width"] for w in (0, drawn["width"])]
    assert ends == pytest.approx([row["age_low"], row["age_high"]], abs=1)
    assert page.download() == arcage_on("predict", PHOTO, "--format", "csv").replace(
        str(PHOTO), "astronaut.jpg"
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_a_group_photo(page: Page, files: Path, width: int) -> None:
    page.size(width)
    page.upload(files / "group.png")
    assert page.one("#status").text == "1 photo, 3 faces."
    boxes, labels, rows = page.all(".box"), page.all(".label"), page.all("tr.face")
    assert len(boxes) == len(labels) == len(rows) == 3
    for i, label in enumerate(labels):
        area = label.rect["width"] * label.rect["height"]
        assert sum(shared(label, other) for other in [*labels[:i], *labels[i + 1 :], *boxes]) < 0.15 * area
        assert shared(label, page.one("#picture")) > 0.98 * area

    def chosen(selector: str) -> list[int]:
        return [i for i, e in enumerate(page.all(selector)) if "chosen" in e.get_attribute("class").split()]

    boxes[1].click()
    assert chosen("tr.face") == chosen(".box") == [1]
    assert boxes[1].get_attribute("aria-pressed") == "true"
    rows[2].click()
    assert chosen("tr.face") == chosen(".box") == [2]


def test_labels_of_a_crowd_leave_the_faces_free(page: Page, tmp_path: Path) -> None:
    pixels = cv2.cvtColor(decode(PHOTO.read_bytes()), cv2.COLOR_RGB2BGR)[20:220, 120:320]
    cv2.imwrite(str(tmp_path / "crowd.png"), np.tile(pixels, (5, 7, 1)))
    page.size(390)
    page.upload(tmp_path / "crowd.png")
    boxes, labels = page.all(".box"), page.all(".label")
    assert len(boxes) == len(labels) == 35
    seen = [label for label in labels if label.is_displayed()]
    hidden = 35 - len(seen)
    assert page.one("#caption").text == f"crowd.png (no room for {hidden} labels: tap or click a face)"
    assert 0 < len(seen) < 35
    for label in seen:
        area = label.rect["width"] * label.rect["height"]
        # Two labels may each cover part of a third face.
        assert sum(shared(label, box) for box in boxes) < 0.16 * area
    hidden = labels.index(next(label for label in labels if label not in seen))
    boxes[hidden].click()
    assert labels[hidden].is_displayed()


def test_the_sliders_send_no_request(page: Page, files: Path) -> None:
    page.upload(files / "astronaut.jpg")
    before = page.download()
    page.requests()
    (age,) = page.texts("td.age")
    page.slide("width", 20)
    assert page.one("#width-value").text == "20 years"
    assert page.texts("td.age") == ["–"]
    assert page.texts(".label")[0].startswith("(")
    assert not page.one(".bar b").is_displayed()
    assert page.one(".bar i").is_displayed()
    page.slide("confidence", 99)
    assert page.texts("td:last-child") == ["–"]
    assert "age hidden" in page.one(".box").get_attribute("aria-label")
    (row,) = csv.DictReader(io.StringIO(page.download()))
    assert row["age"] == row["gender"] == ""
    assert row["age_low"]
    assert row["p_female"]
    page.slide("width", 60)
    page.slide("confidence", 50)
    assert page.texts("td.age") == [age]
    assert page.download() == before
    assert [asked for asked in page.requests() if not asked.startswith("blob:")] == []


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        (
            "sky.png",
            "No face found.",
            "No face found. A face may be too small, turned away, covered or blurred.",
        ),
        ("notes.jpg", "The photo cannot be read.", "Cannot be read: text is not a supported image format"),
        ("huge.png", "The photo cannot be read.", "Cannot be read: too large: 400,000,000 pixels, the limit"),
    ],
)
def test_photos_without_a_prediction(page: Page, files: Path, name: str, status: str, words: str) -> None:
    page.upload(files / name)
    assert page.one("#status").text == status
    assert page.one("#notice").text.startswith(f"{name}: {words}")
    assert page.one("#notice").rect["y"] < page.one("#results").rect["y"]
    assert page.texts("tbody .problem")[0].startswith(words)
    assert page.one("#picture").is_displayed() == (name == "sky.png")
    assert page.all(".box") == page.all("tr.face") == []
    (row,) = csv.DictReader(io.StringIO(page.download()))
    assert row["status"] == ("no_face" if name == "sky.png" else "unreadable")


def test_a_file_beyond_the_limit_is_not_sent(page: Page, tmp_path: Path) -> None:
    with (tmp_path / "video.jpg").open("wb") as file:
        file.truncate(65 << 20)
    page.requests()
    page.upload(tmp_path / "video.jpg")
    assert page.one("#notice").text == "video.jpg: No result: too large: 65 MB, the limit is 64 MB."
    assert not [asked for asked in page.requests() if "predict" in asked]


def test_a_format_that_the_browser_cannot_show(page: Page, files: Path) -> None:
    page.upload(files / "group.tif")
    assert len(page.all(".box")) == 3
    picture = page.one("#picture")
    assert picture.is_displayed()
    assert picture.get_attribute("naturalWidth") == "800"


def test_a_zip(page: Page, files: Path, tmp_path: Path, arcage_on: Callable[..., str]) -> None:
    evil = '<img src=x onerror="window.hurt=1">.png'
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(files / "astronaut.jpg", "in/astronaut.jpg")
        archive.write(files / "group.png", f"in/{evil}")
        archive.write(files / "sky.png", "in/sky.png")
        archive.writestr("in/readme.txt", "no photo")
    page.upload(tmp_path / "photos.zip")
    assert page.one("#status").text == "3 photos, 4 faces; no face in 1."
    assert page.texts("tbody .name") == [f"in/{evil}", "in/astronaut.jpg", "in/sky.png"]
    assert page.js("return window.hurt") is None
    assert len(page.all("img")) == 1
    page.until(lambda: page.one("#next")).click()
    assert page.one("#caption").text == "in/astronaut.jpg"
    assert len(page.all(".box")) == 1
    assert page.one("#picture").get_attribute("naturalWidth") == "512"
    page.all("tr.face")[0].click()
    assert page.one("#caption").text == f"in/{evil}"
    assert len(page.all(".box")) == 3
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("astronaut.jpg", "group.png", "sky.png"):
        shutil.copy(files / name, folder / (evil.replace("/", "") if name == "group.png" else name))
    printed = list(csv.DictReader(io.StringIO(arcage_on("predict", folder, "--format", "csv"))))
    for seen, expected in zip(csv.DictReader(io.StringIO(page.download())), printed, strict=True):
        assert {**seen, "path": ""} == {**expected, "path": ""}
        assert expected["path"].endswith(seen["path"])


def test_ten_uploads_at_once(page: Page, files: Path, tmp_path: Path) -> None:
    kinds = {"astronaut.jpg": 1, "group.png": 3, "sky.png": 0, "notes.jpg": 0}
    expected = []
    for i in range(10):
        name, faces = list(kinds.items())[i % 4]
        expected.append((f"{i}-{name}", faces))
        shutil.copy(files / name, tmp_path / f"{i}-{name}")
    page.upload(*(tmp_path / name for name, _ in expected))
    seen = [
        (body.find_element(By.CSS_SELECTOR, ".name").text, len(body.find_elements(By.CSS_SELECTOR, ".face")))
        for body in page.all("tbody")
    ]
    assert seen == expected
    assert page.one("#status").text == "10 photos, 12 faces; no face in 2; 2 cannot be read."
    page.one("#clear").click()
    assert not page.one("#results").is_displayed()
    assert page.all("tbody") == []


def test_the_newest_photos_are_at_the_top_and_shown(page: Page, files: Path) -> None:
    page.upload(files / "group.png")
    page.upload(files / "astronaut.jpg", files / "notes.jpg")
    assert page.texts("tbody .name") == ["astronaut.jpg", "notes.jpg", "group.png"]
    assert page.one("#caption").text == "astronaut.jpg"
    assert page.one("#notice").text.startswith("notes.jpg: Cannot be read: ")
    page.js("scrollTo(0, 10000)")
    page.upload(files / "sky.png")
    assert page.texts("tbody .name") == ["sky.png", "astronaut.jpg", "notes.jpg", "group.png"]
    assert page.one("#caption").text.startswith("sky.png: No face found.")
    assert page.one("#notice").text.startswith("sky.png: No face found.")
    assert page.js("return document.getElementById('notice').getBoundingClientRect().top") >= 0
    names = [row["path"] for row in csv.DictReader(io.StringIO(page.download()))]
    assert names == ["sky.png", "astronaut.jpg", "notes.jpg", *["group.png"] * 3]
    page.one("#clear").click()
    assert not page.one("#notice").is_displayed()


def test_downloaded_names_are_no_formulas(page: Page, files: Path, tmp_path: Path) -> None:
    for name in ("=1+1;@a.jpg", "'-b.jpg", "c.jpg"):
        shutil.copy(files / "sky.png", tmp_path / name)
        page.upload(tmp_path / name)
    lines = [line.partition(",")[0] for line in page.download().splitlines()]
    assert sorted(lines) == ['"\'=1+1;@a.jpg"', "''-b.jpg", "c.jpg", "path"]


def test_faces_have_the_number_of_their_row(page: Page, files: Path, tmp_path: Path) -> None:
    page.upload(files / "group.png")
    assert page.texts(".box .number") == page.texts("tr.face .number") == ["0", "1", "2"]
    assert [row["face"] for row in csv.DictReader(io.StringIO(page.download()))] == ["0", "1", "2"]
    for box, label in zip(page.all(".box"), page.all(".label"), strict=True):
        number = box.find_element(By.CSS_SELECTOR, ".number")
        assert shared(number, label) == 0
        assert rectangle(number)[3] <= rectangle(box)[1] + 2.5
    assert page.one(".box").get_attribute("aria-label").startswith("Face 0: age ")
    page.one("#clear").click()
    page.upload(files / "astronaut.jpg")
    assert page.all(".number") == []


def test_labels_of_a_crowd_are_short_before_they_are_hidden(page: Page, tmp_path: Path) -> None:
    pixels = cv2.cvtColor(decode(PHOTO.read_bytes()), cv2.COLOR_RGB2BGR)[20:220, 120:320]
    cv2.imwrite(str(tmp_path / "crowd.png"), np.tile(pixels, (3, 7, 1)))
    page.size(390)
    page.upload(tmp_path / "crowd.png")
    labels = [label for label in page.all(".label") if label.is_displayed()]
    assert labels
    assert {label.text for label in labels} <= {str(age) for age in range(20, 60)}
    for i, label in enumerate(labels):
        assert sum(shared(label, other) for other in labels[:i]) == 0
    page.all(".box")[0].click()
    assert "female" in page.all(".label")[0].text
    assert page.js("return scrollY") == 0  # the picture stays in view


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_paste_and_drop(page: Page, kind: str) -> None:
    import base64

    page.js(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "image.jpg", { type: "image/jpeg" }));
        document.dispatchEvent(arguments[1] === "paste"
          ? new ClipboardEvent("paste", { clipboardData: data })
          : new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        """,
        base64.b64encode(PHOTO.read_bytes()).decode(),
        kind,
    )
    page.wait_for_results()
    assert page.one("#status").text == "1 photo, 1 face."


def test_a_folder_that_is_dropped(page: Page, files: Path, tmp_path: Path) -> None:
    (tmp_path / "holidays").mkdir()
    dropped = [str(tmp_path / "holidays"), str(files / "astronaut.jpg")]
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 600, "y": 150}
        data = {"items": [], "files": dropped, "dragOperationsMask": 1}
        page.browser.execute_cdp_cmd("Input.dispatchDragEvent", {**event, "data": data})
    page.until(lambda: page.js("return requested"))
    page.wait_for_results()
    assert page.texts("tbody .name") == ["holidays", "astronaut.jpg"]
    assert page.texts("tbody .problem") == ["No result: the browser cannot read it; send a folder as a zip."]
    assert len(page.all("tr.face")) == 1


def test_the_webcam(page: Page) -> None:
    page.one("#camera").click()
    page.until(lambda: page.js("return document.getElementById('video').videoWidth"))
    page.one("#shoot").click()
    page.wait_for_results()
    assert page.one("#status").text == "1 photo, 1 face."
    assert page.one("#caption").text == "webcam.jpg"
    assert page.texts(".label")[0].split("\n")[1].startswith("female")
    assert not page.one("#webcam").is_displayed()
    assert page.js("return document.getElementById('video').srcObject") is None


def test_by_keyboard(page: Page, files: Path) -> None:
    page.upload(files / "group.png")
    outline = "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth]"
    names: list[str] = []
    while len(names) < 20 and names.count("pick") < 3:
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        focus = page.browser.switch_to.active_element
        names.append(focus.get_attribute("id") or focus.get_attribute("class"))
        assert page.js(outline, focus) == ["solid", "3px"], names
        if names[-1] in ("box", "pick"):
            number = names.count(names[-1]) - 1
            focus.send_keys(Keys.ENTER)
            assert page.all(".box")[number].get_attribute("aria-pressed") == "true"
            assert "chosen" in page.all("tr.face")[number].get_attribute("class")
        if names[-1] == "width":
            focus.send_keys(Keys.ARROW_LEFT)
            assert page.one("#width-value").text == "59 years"
    assert names == [
        *("choose", "camera", "box", "box", "box", "width", "confidence"),
        *("download", "clear", "name", "pick", "pick", "pick"),
    ]


@pytest.mark.parametrize("name", ["group.png", "notes.jpg", ""])
def test_on_a_phone(page: Page, files: Path, name: str) -> None:
    page.size(390)
    if name:
        page.upload(files / name)
    assert page.js("return document.documentElement.scrollWidth") == 390
    for button in page.all("button:not(.box):not(.name)"):
        if button.is_displayed():
            assert button.rect["height"] >= 44


def test_dark(page: Page, files: Path) -> None:
    page.upload(files / "astronaut.jpg")
    colours = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"

    def lightness() -> list[float]:
        return [sum(map(int, colour[4:-1].split(","))) / 3 for colour in page.js(colours)]

    ground, text = lightness()
    assert ground > 230 > 60 > text
    page.size(1280, dark=True)
    ground, text = lightness()
    assert ground < 40 < 200 < text


def test_the_server_is_gone(
    browser: webdriver.Chrome, start: Callable[..., subprocess.Popen[str]], files: Path
) -> None:
    process = start("app", "--port", 0)
    assert process.stdout is not None
    page = Page(browser, process.stdout.readline().strip())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    page.upload(files / "astronaut.jpg")
    assert page.one("#notice").text == (
        "astronaut.jpg: No result: arcage does not respond; check whether it is running."
    )


def test_stop(browser: webdriver.Chrome, start: Callable[..., subprocess.Popen[str]], files: Path) -> None:
    process = start("app", "--port", 0, FAKE_DELAY=0.4)
    try:
        assert process.stdout is not None
        page = Page(browser, process.stdout.readline().strip())
        page.one("#files").send_keys("\n".join([str(files / "astronaut.jpg")] * 12))
        page.until(lambda: page.all("tr.face"))
        page.one("#stop").click()
        page.until(lambda: not page.one("#busy").is_displayed())
        done = len(page.all("tr.face"))
        assert 0 < done < 12
        assert len(page.all("tbody")) == done
        time.sleep(1)
        assert len(page.all("tr.face")) == done
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
