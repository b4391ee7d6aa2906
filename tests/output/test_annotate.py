"""Boxes and labels on copies of images."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import arcage.output.annotate
from arcage.errors import ForeignFileError, OutputError, UsageError
from arcage.images.decoder import decode
from arcage.output.annotate import Annotator, draw
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.sources.walk import walk
from arcage.types import Prediction


def row(*box: float, age: float | None = 34, p_female: float | None = 0.97) -> Prediction:
    return Prediction(
        "a", 0, 1, *box, 0.9, age, age and age - 7, age and age + 8, "female", p_female, "ok", None
    )


NO_FACE = Prediction("a", None, 0, *[None] * 10, "no_face", None)  # type: ignore[arg-type]


def picture(path: Path, value: int = 200, size: tuple[int, int] = (500, 600)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


def changed(before: Any, after: Any) -> Any:
    return (before != after).any(axis=2)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_boxes_and_labels_contrast_with_any_background(ground: int, labels: list[Any]) -> None:
    image = np.full((600, 800, 3), ground, np.uint8)
    drawn = draw(image, [row(300, 200, 420, 360)])
    assert drawn.shape == image.shape
    assert (image == ground).all()
    marks = changed(image, drawn)
    assert marks[200:361, 300].all()
    assert marks[360, 300:421].all()
    assert not marks[210:350, 310:410].any()  # the face itself stays clear
    # Light letters on a dark background above the box; those of OpenCV 4 are thin and grey.
    ((left, top, right, bottom),) = labels
    assert (left, bottom) == (300, 199)
    label = drawn[top : bottom + 1, left : right + 1]
    assert (label > 180).all(axis=2).sum() > 100
    assert (label == 24).all(axis=2).sum() > 1000


@pytest.mark.parametrize(
    "box", [(0, 0, 600, 500), (-50, -50, 60, 60), (560, 460, 700, 600), (0, 470, 30, 500), (590, 0, 600, 9)]
)
def test_labels_stay_inside(box: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[tuple[int, int, int, int]] = []
    put = cv2.putText

    def spy(image: Any, text: str, at: tuple[int, int], font: int, scale: float, *more: Any) -> Any:
        (width, height), below = cv2.getTextSize(text, font, scale, more[1])
        texts.append((at[0], at[1] - height, at[0] + width, at[1] + below))
        return put(image, text, at, font, scale, *more)

    monkeypatch.setattr(cv2, "putText", spy)
    draw(np.full((500, 600, 3), 9, np.uint8), [row(*box)])
    assert len(texts) == 2
    for left, top, right, bottom in texts:
        assert left >= 0
        assert top >= 0
        assert right <= 600
        assert bottom <= 500


def test_labels_do_not_hide_each_other_nor_another_face() -> None:
    image = np.full((600, 900, 3), 255, np.uint8)
    boxes = [(100, 250, 180, 350), (190, 150, 270, 240), (280, 260, 360, 350)]
    drawn = draw(image, [row(*box) for box in boxes])
    marks = changed(image, drawn)
    for x1, y1, x2, y2 in boxes:
        assert not marks[y1 + 6 : y2 - 6, x1 + 6 : x2 - 6].any()


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the rectangles of the labels: left, top, right, bottom; all are inside the picture."""
    seen: list[Any] = []
    fill = cv2.rectangle

    def spy(image: Any, low: Any, high: Any, colour: Any, thickness: int, *more: Any) -> Any:
        if thickness == cv2.FILLED:
            seen.append((*low, *high))
        return fill(image, low, high, colour, thickness, *more)

    monkeypatch.setattr(cv2, "rectangle", spy)
    return seen


@pytest.mark.parametrize(
    ("across", "down", "pitch", "face"),
    [(8, 5, 100, 90), (8, 5, 100, 60), (8, 5, 40, 34), (8, 5, 400, 300), (20, 2, 70, 70), (2, 20, 90, 85)],
)
def test_labels_of_a_crowd_touch_their_face_but_not_each_other(
    labels: list[Any], across: int, down: int, pitch: int, face: int
) -> None:
    image = np.full((down * pitch, across * pitch, 3), 128, np.uint8)
    corners = [(pitch * x, pitch * y) for y in range(down) for x in range(across)]
    drawn = draw(image, [row(x + 2, y + 2, x + 2 + face, y + 2 + face) for x, y in corners])
    height, width = drawn.shape[:2]
    zoom = width / image.shape[1]
    assert len(labels) == across * down == 40
    for i, (a, (x, y)) in enumerate(zip(labels, corners, strict=True)):
        assert 0 <= a[0] < a[2] < width
        assert 0 <= a[1] < a[3] < height
        for b in labels[:i]:
            assert a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]
        reach = 3 + 2 * zoom
        assert a[0] - reach <= zoom * (x + 2 + face)
        assert a[2] + reach >= zoom * (x + 2)
        assert a[1] - reach <= zoom * (y + 2 + face)
        assert a[3] + reach >= zoom * (y + 2)


@pytest.mark.oracle
def test_the_six_of_a_real_group_photo(
    labels: list[Any], bundled: None, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = find_spec("insightface")
    if package is None or package.origin is None:
        pytest.skip("insightface, which brings the photo, is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    photo = (Path(package.origin).parent / "data/images/t1.jpg").read_bytes()
    rows = Predictor(device="cpu").predict(photo)
    drawn = draw(decode(photo), rows)
    assert drawn.shape == (886, 1280, 3)
    assert len(labels) == len(rows) == 6
    for i, (a, row) in enumerate(zip(labels, rows, strict=True)):
        assert all(a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3] for b in labels[:i])
        assert a[2] - a[0] > 100 > a[3] - a[1] > 50  # letters of 15 pixels or so
        # Directly above its own face, and on no other.
        assert abs(a[0] - row.x1) < 4
        assert abs(a[3] - row.y1) < 4
        assert all(a[0] > r.x2 or r.x1 > a[2] or a[1] > r.y2 or r.y1 > a[3] for r in rows if r is not row)


def test_a_crowd_of_small_faces_is_enlarged_until_labels_cover_few(labels: list[Any]) -> None:
    corners = [(100 * x, 100 * y) for y in range(5) for x in range(8)]
    drawn = draw(np.zeros((500, 800, 3), np.uint8), [row(x + 4, y, x + 94, y + 100) for x, y in corners])
    assert drawn.shape == (800, 1280, 3)
    face = 1.6 * 90 * 1.6 * 100
    assert max((x2 - x1 + 1) * (y2 - y1 + 1) for x1, y1, x2, y2 in labels) < 0.25 * face


def test_small_pictures_are_enlarged() -> None:
    assert draw(np.zeros((60, 40, 3), np.uint8), [row(5, 5, 30, 40)]).shape == (480, 320, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 40)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    draw(np.zeros((*size, 3), np.uint8), [row(0, 0, size[1], size[0])])


def test_heads_without_an_attribute() -> None:
    image = np.zeros((480, 480, 3), np.uint8)
    both = draw(image, [row(100, 200, 200, 300)])
    one = draw(image, [row(100, 200, 200, 300, p_female=None)])
    neither = draw(image, [row(100, 200, 200, 300, age=None, p_female=None)])
    assert changed(image, both).sum() > changed(image, one).sum() > changed(image, neither).sum() > 0


def test_a_picture_keeps_its_relative_path(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/b/1.jpg", "a/1.png", "a/b/2.JPG"):
        picture(tmp_path / "in" / name)
    annotator = Annotator(tmp_path / "out", [str(tmp_path / "in")])
    assert all(annotator.draw(source, [row(10, 10, 90, 90)]) for source in walk([tmp_path / "in"]))
    drawn = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert drawn == ["a/1.jpg", "a/1.png.jpg", "a/b/1.jpg", "a/b/2.JPG"]
    assert decode((tmp_path / "out/a/1.png.jpg").read_bytes()).shape == (500, 600, 3)


def test_two_folders_with_the_same_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["x", "y", "z/3.jpg"]
    for name in ("x/1.jpg", "y/1.jpg", "z/3.jpg"):
        picture(Path(name))
    annotator = Annotator(Path("out"), arguments)
    for source in walk(arguments):
        annotator.draw(source, [row(10, 10, 90, 90)])
    assert sorted(map(str, Path("out").rglob("*.jpg"))) == ["out/x/1.jpg", "out/y/1.jpg", "out/z/3.jpg"]


def test_one_image_and_standard_input(tmp_path: Path) -> None:
    path = picture(tmp_path / "in" / "é 1.jpg")
    annotator = Annotator(tmp_path / "out", [str(path)])
    assert annotator.draw(Source(str(path), "é 1.jpg"), [row(10, 10, 90, 90)])
    assert (tmp_path / "out" / "é 1.jpg").exists()
    annotator = Annotator(tmp_path / "out", [])
    assert annotator.draw(Source("-", "-", data=path.read_bytes()), [row(10, 10, 90, 90)])
    assert (tmp_path / "out" / "stdin.jpg").exists()


def test_images_without_a_face_are_not_drawn(tmp_path: Path) -> None:
    path = picture(tmp_path / "in" / "a.jpg")
    annotator = Annotator(tmp_path / "out", [str(path)])
    source = Source(str(path), "a.jpg")
    assert not annotator.draw(source, [NO_FACE])
    path.unlink()
    assert not annotator.draw(source, [row(10, 10, 90, 90)])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("where", [".", "in", "in/deep", "link", "in/../in"])
def test_folders_among_the_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(Path("in/a.jpg"))
    Path("link").symlink_to("in")
    argument = "in/a.jpg" if where in ("in", "link") else "in"
    if where == ".":
        argument = "."
    with pytest.raises(UsageError, match="choose a"):
        Annotator(Path(where), [argument])
    assert not Path("in/deep").exists()


def test_only_pictures_that_arcage_drew_are_overwritten(tmp_path: Path) -> None:
    path = picture(tmp_path / "in" / "a.jpg")
    source = Source(str(path), "a.jpg")
    annotator = Annotator(tmp_path / "out", [str(tmp_path / "in")])
    annotator.draw(source, [row(10, 10, 90, 90)])
    first = (tmp_path / "out" / "a.jpg").read_bytes()
    annotator.draw(source, [row(10, 10, 95, 95)])
    assert (tmp_path / "out" / "a.jpg").read_bytes() != first

    own = picture(tmp_path / "out" / "a.jpg", 7).read_bytes()
    with pytest.raises(ForeignFileError, match=r"a\.jpg was not written by arcage"):
        annotator.draw(source, [row(10, 10, 90, 90)])
    with pytest.raises(ForeignFileError):
        annotator.check_all([source])
    assert (tmp_path / "out" / "a.jpg").read_bytes() == own

    annotator = Annotator(tmp_path / "out", [str(tmp_path / "in")], overwrite=True)
    annotator.check_all([source])
    assert annotator.draw(source, [row(10, 10, 90, 90)])
    assert (tmp_path / "out" / "a.jpg").read_bytes() != own


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_image_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    paths = [picture(tmp_path / "d" / "a.jpg"), picture(tmp_path / "e" / "d" / "a.jpg", 7)]
    before = paths[1].read_bytes()
    annotator = Annotator(tmp_path / "e", [str(path) for path in paths], overwrite=overwrite)
    source = Source(str(paths[0]), "a.jpg")
    with pytest.raises(UsageError, match=r"replace the image .*a\.jpg: choose another folder"):
        annotator.check_all([source])
    with pytest.raises(UsageError, match="replace the image"):
        annotator.draw(source, [row(10, 10, 90, 90)])
    assert paths[1].read_bytes() == before


def test_names_of_drawn_videos(tmp_path: Path) -> None:
    annotator = Annotator(tmp_path / "out", [str(tmp_path)[:-1]])
    for name, expected in (("a.mp4", "a.mp4"), ("a.MP4", "a.MP4"), ("a.avi", "a.avi.mp4")):
        assert annotator.target(Source(str(tmp_path / name), name, video=True)).name == expected


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="choose another"):
        Annotator(tmp_path / "closed" / "out", [])


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="choose another"):
        Annotator(tmp_path / "out", ["a.jpg"])


def test_a_rotated_photo_is_drawn_upright(tmp_path: Path) -> None:
    data = picture(tmp_path / "in" / "a.jpg").read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    annotator = Annotator(tmp_path / "out", [])
    annotator.draw(Source("-", "-", data=data), [row(10, 10, 90, 90)])
    assert decode((tmp_path / "out" / "stdin.jpg").read_bytes()).shape == (600, 500, 3)


def test_a_box_outside_of_the_image_is_not_drawn() -> None:
    grey = np.full((500, 600, 3), 128, np.uint8)
    outside = replace(row(610, 20, 650, 80), face=1, faces=2, status="no_face")
    inside = replace(row(100, 100, 200, 220), faces=2)
    assert np.array_equal(draw(grey, [inside, outside]), draw(grey, [inside]))


def test_labels_have_the_number_of_the_column_face(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[list[str]] = []
    fit = arcage.output.annotate._Label.fit

    def listen(words: list[str], capital: float, width: int) -> Any:
        labels.append(list(words))
        return fit(words, capital, width)

    monkeypatch.setattr(arcage.output.annotate._Label, "fit", listen)
    image = np.zeros((600, 800, 3), np.uint8)
    alone = row(300, 200, 420, 360)
    draw(image, [alone])
    assert labels == [["34 (27-42)", "female 97 %"]]
    labels.clear()
    several = [replace(alone, faces=3, face=2), replace(alone, faces=3, face=11, age_low=None, x1=10, x2=90)]
    draw(image, several)
    assert labels[:2] == [["#2: 34 (27-42)", "female 97 %"], ["#11", "female 97 %"]]
    labels.clear()
    draw(image, [alone], video=True)
    assert labels == [["#0: 34 (27-42)", "female 97 %"]]
