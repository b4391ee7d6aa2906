"""Pictures with a box and a label around every face."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from arcage.errors import ImageError, OutputError, UsageError
from arcage.files import atomic_write, reason
from arcage.images import decode
from arcage.prediction import Prediction, gender_words
from arcage.sources import Source
from arcage.types import F64, U8

QUALITY = 92
_READABLE = 480
"""Smaller pictures are enlarged to this long side: letters need pixels."""

# A JPEG comment, by which a picture that was drawn here is known again.
_COMMENT = b"drawn by arcage"
_MARK = b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(_COMMENT)) + _COMMENT

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 22
"""Height of the font's capital letters at scale 1, in pixels."""
_LINE, _GROUND, _TEXT = (255, 200, 40), (24, 24, 24), (255, 255, 255)
"""RGB. The line has an edge in the ground's colour: one of the two stands out from any picture."""


class Annotator:
    """Draws the answers into copies of the images, in a folder of their own.

    A picture keeps its image's path below the folder that holds all arguments, so that two images of one
    name do not meet, and ends in ``.jpg``. A file is overwritten only where arcage drew it.

    Args:
        folder: made where it does not exist.
        arguments: the files and folders that the images come from.

    Raises:
        UsageError: pictures in ``folder`` would be in the way of the images themselves.
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        folders = [argument for argument in arguments if os.path.isdir(argument)]
        for argument in folders:
            if _inside(folder, argument):
                raise UsageError(
                    f"the pictures cannot go to {folder}: it lies in {argument}, which is searched for "
                    "images; choose a folder outside"
                )
        parents = [a if a in set(folders) else os.path.dirname(os.path.abspath(a)) for a in arguments]
        try:
            self._root = os.path.commonpath([os.path.abspath(parent) for parent in parents or ["."]])
        except ValueError:
            raise UsageError("--annotate takes images of one drive: run arcage once for each") from None
        if os.path.realpath(folder) == os.path.realpath(self._root):
            raise UsageError(
                f"the pictures cannot go to {folder}: the images are there; choose another folder"
            )
        self._folder = folder
        _make(folder)

    def target(self, source: Source) -> Path:
        """Where the picture of an image goes."""
        if source.data is not None:
            return self._folder / "stdin.jpg"
        way = os.path.relpath(os.path.abspath(source.path), self._root)
        # It leads up only where the name of an object in a store does.
        path = self._folder.joinpath(*(part for part in way.split(os.sep) if part != os.pardir))
        # The old suffix stays, as a.png and a.jpg may be two images.
        return path if path.suffix.lower() in (".jpg", ".jpeg") else path.with_name(f"{path.name}.jpg")

    def draw(self, source: Source, rows: Sequence[Prediction]) -> bool:
        """Write the picture of one image; False where it has no face, or can no longer be read.

        Raises:
            OutputError: the picture cannot be written, or a file that is not arcage's is in its place.
        """
        if all(row.face is None for row in rows):
            return False
        try:
            image = decode(source.read())
        except ImageError:
            return False
        target = self.target(source)
        _refuse_others(target)
        _make(target.parent)
        picture = cv2.cvtColor(draw(image, rows), cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        with atomic_write(target) as file:
            file.write(_MARK + encoded[2:])
        return True


def draw(image: U8, rows: Sequence[Prediction]) -> U8:
    """A copy of an image with a box and a label around every face.

    Args:
        image: shape (height, width, 3), uint8, RGB, upright.
        rows: of this image.

    Returns:
        Shape (height, width, 3), uint8, RGB; small images are enlarged.
    """
    long = max(image.shape[:2])
    zoom = max(1.0, _READABLE / long)
    picture: U8 = (
        cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC) if zoom > 1 else image.copy()
    )
    faces = [row for row in rows if row.face is not None]
    height, width = picture.shape[:2]
    long = max(height, width)
    line = max(2, round(long / 400))
    # A box may reach past the border, where its lines would not be seen.
    inside = np.array([width, height, width, height]) - 1 - line // 2
    boxes = [
        np.clip(np.array([row.x1, row.y1, row.x2, row.y2], float) * zoom, line // 2, inside) for row in faces
    ]
    for box in boxes:
        x1, y1, x2, y2 = box.round().astype(int).tolist()
        cv2.rectangle(picture, (x1, y1), (x2, y2), _GROUND, line + 2, cv2.LINE_AA)
        cv2.rectangle(picture, (x1, y1), (x2, y2), _LINE, line, cv2.LINE_AA)
    taken = list(boxes)
    for row, box in zip(faces, boxes, strict=True):
        capital = float(np.clip(0.09 * (box[3] - box[1]), max(9, 0.011 * long), 0.035 * long))
        if words := _words(row):
            taken.append(_label(picture, words, box, capital, taken))
    return picture


def _words(row: Prediction) -> list[str]:
    # Two short lines fit beside their face; OpenCV's font has ASCII only.
    words = []
    if row.age_low is not None:
        age = "" if row.age is None else f"{row.age:.0f} "
        words.append(f"{age}({row.age_low:.0f}-{row.age_high:.0f})")
    if row.gender is not None and row.p_female is not None:
        words.append(gender_words(row.p_female))
    return words


def _label(picture: U8, words: Sequence[str], box: F64, capital: float, taken: Sequence[F64]) -> F64:
    """Write a label near a box, where it hides the least of what is taken; returns where: x1, y1, x2, y2."""
    height, width = picture.shape[:2]
    pad = round(0.5 * capital)
    widest = max(cv2.getTextSize(word, _FONT, capital / _CAPITAL, 1)[0][0] for word in words)
    capital *= min(1.0, (width - 2 * pad) / widest)
    scale = capital / _CAPITAL
    weight = max(1, round(1.8 * scale))
    step = round(1.7 * capital)
    size = np.array([widest * min(1.0, (width - 2 * pad) / widest) + 2 * pad, step * len(words) + pad])
    x1, y1, x2, y2 = box
    w, h = size
    places = [(x1, y1 - h), (x1, y2), (x2, y1), (x1 - w, y1), (x2 - w, y1 - h), (x2 - w, y2), (x1, y1)]
    room = np.maximum([width - w, height - h], 0)
    corners = [np.clip(np.array(place), 0, room) for place in places]
    rectangles = [np.concatenate([corner, corner + size]) for corner in corners]
    best = min(rectangles, key=lambda rectangle: sum(_shared(rectangle, other) for other in taken))
    left, top, right, bottom = best.round().astype(int).tolist()
    cv2.rectangle(picture, (left, top), (right, bottom), _GROUND, cv2.FILLED)
    for number, word in enumerate(words, start=1):
        at = (left + pad, top + number * step)
        cv2.putText(picture, word, at, _FONT, scale, _TEXT, weight, cv2.LINE_AA)
    return best


def _shared(a: F64, b: F64) -> float:
    """The area that two rectangles share."""
    return float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))


def _inside(path: Path, folder: str) -> bool:
    real, outer = os.path.realpath(path), os.path.realpath(folder)
    return real == outer or real.startswith(os.path.join(outer, ""))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {reason(error)}; choose another place"
        ) from error


def _refuse_others(target: Path) -> None:
    try:
        with target.open("rb") as file:
            if file.read(len(_MARK)) == _MARK:
                return
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write {target}: {reason(error)}; choose another folder") from error
    raise OutputError(f"{target} was not drawn by arcage: choose an empty folder for the pictures")
