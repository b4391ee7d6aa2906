"""Draw the pictures of docs/guide/gallery.md with the heads and pages of today.

    python tools/draw_gallery.py                       # the annotated photos and the page of predictions
    python tools/draw_gallery.py --walk WORK           # also the plots of the walkthrough, from its folder

All faces are the portrait in examples/, which is in the public domain. WORK has the folders that the commands of
docs/guide/walkthrough.md write: heads/, labels/ and report/; their plots show no face. The page is
photographed by Chromium: needs chromium, chromedriver and the package selenium.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from arcage.files import atomic_write
from arcage.report.labels_plots import draw_plots
from arcage.report.plots import style
from arcage.types import U8

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PORTRAIT = ROOT / "examples" / "astronaut.jpg"
WIDTH = 960
"""Width of the pictures in pixels."""
NARROW = 780
"""Width of a single plot, whose file would otherwise be too large."""

WALK = {
    "evaluation.png": ("report/scatter.png", "report/error_by_age.png"),
    "intervals.png": ("report/coverage.png", "report/kept_by_width.png"),
    "curves.png": ("heads/curves.png",),
}
"""Plots of the walkthrough that are joined side by side."""


def collage() -> U8:
    """Return a photo with three faces of different size: the portrait, mirrored, and grey; BGR."""
    photo = np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)
    canvas = np.full((360, 820, 3), (197, 189, 184), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    left = 0
    for picture, side in ((photo, 360), (photo[:, ::-1], 250), (grey, 210)):
        canvas[360 - side :, left : left + side] = cv2.resize(
            picture, (side, side), interpolation=cv2.INTER_AREA
        )
        left += side
    return canvas


def label_plots(labels: Path) -> list[U8]:
    """Draw the plots of a label report again from its ``labels.json``; the page has them inside."""
    with style(dark=False) as colours:
        plots = draw_plots(json.loads(labels.read_text("utf-8"))["ages"], colours)
    return [_decode(plot) for plot in plots.values()]


def _decode(data: bytes) -> U8:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def arcage(folder: Path, *words: object) -> None:
    """Run an arcage command in a folder, with the arcage that this process imports."""
    subprocess.run([sys.executable, "-P", "-m", "arcage", *map(str, words)], check=True, cwd=folder)


def variants(folder: Path) -> None:
    """Write copies of the portrait that are easy, hard and impossible to read."""
    photo = np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    flag = photo[:160, 300:440]  # the background beside the face
    made = {
        "black-and-white": grey,
        "blurred": cv2.GaussianBlur(photo, (0, 0), 6),
        "dark": (photo * 0.25).astype(np.uint8),
        "flag": flag,
        "mirrored": photo[:, ::-1],
        "on-its-side": np.rot90(photo),
        "portrait": photo,
    }
    for name, picture in made.items():
        cv2.imwrite(str(folder / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    data = (folder / "portrait.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 3])


def photograph(page: Path) -> U8:
    """Return the table of a page as BGR pixels."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By

    options = webdriver.ChromeOptions()
    for argument in ("headless=new", "no-sandbox", "disable-gpu", f"window-size={WIDTH + 40},3000"):
        options.add_argument(f"--{argument}")
    options.binary_location = shutil.which("chromium") or "chromium"
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(page.as_uri())
        shot = browser.find_element(By.ID, "faces").screenshot_as_png
    finally:
        browser.quit()
    return _decode(shot)


def beside(pictures: list[U8], width: int) -> U8:
    """Join pictures side by side at the same height, with a total width of at most ``width``."""
    height = min(picture.shape[0] for picture in pictures)
    scaled = [trim(_resize(p, height / p.shape[0])) for p in pictures]
    joined = np.concatenate([p[:height] for p in scaled], axis=1)
    return _resize(joined, min(1, width / joined.shape[1]))


def _resize(picture: U8, factor: float) -> U8:
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def trim(picture: U8) -> U8:
    """Cut the white columns at the left and right, up to a small margin."""
    used = np.flatnonzero((picture < 250).any(axis=(0, 2)))
    return picture[:, max(0, used[0] - 12) : used[-1] + 13]


def write(name: str, picture: U8) -> None:
    """Write a picture as PNG."""
    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise ValueError(f"OpenCV cannot write {name}")
    keep(name, data.tobytes())


def keep(name: str, data: bytes) -> None:
    with atomic_write(IMAGES / name) as file:
        file.write(data)
    print(f"{name}: {len(data) / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--walk", type=Path, help="folder of the walkthrough")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        variants(folder / "photos")
        arcage(folder, "predict", "photos/", "--report", "page.html", "--out", "page.csv")
        write("report.png", photograph(folder / "page.html"))
        cv2.imwrite(str(folder / "annotated.jpg"), collage(), [cv2.IMWRITE_JPEG_QUALITY, 95])
        arcage(folder, "predict", "annotated.jpg", PORTRAIT, "--annotate", "drawn/", "--out", "drawn.csv")
        for picture in (folder / "drawn").rglob("*.jpg"):
            keep(picture.name, picture.read_bytes())
    for name, parts in WALK.items() if args.walk else ():
        plots = [np.asarray(cv2.imread(str(args.walk / part)), np.uint8) for part in parts]
        write(name, beside(plots, WIDTH if len(plots) > 1 else NARROW))
    if args.walk:
        write("labels.png", beside(label_plots(args.walk / "labels" / "labels.json"), WIDTH))


if __name__ == "__main__":
    main()
