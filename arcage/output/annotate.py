"""Draw boxes and labels on copies of images."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from arcage.errors import ForeignFileError, ImageError, UsageError
from arcage.files import atomic_write, make_folder, refuse_foreign
from arcage.images.decoder import decode
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.sources.source import Source
from arcage.text import gender_text
from arcage.types import F64, U8, Prediction

QUALITY = 92
"""JPEG quality."""
_READABLE = 480
"""Smaller pictures are enlarged to this length of the longer side, so that letters are legible."""
_FACE, _CROWD = 160, 2400
"""With many small faces, the picture is enlarged until the median face has this height, or the longer side
has this length, pixels."""

# A comment in every picture and video, by which arcage recognises the files that it wrote.
COMMENT = b"drawn by arcage"
_MARK = b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(COMMENT)) + COMMENT

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 22
"""Height of the font's capital letters at scale 1, in pixels."""
_LINE, _GROUND, _TEXT = (255, 200, 40), (24, 24, 24), (255, 255, 255)
"""RGB. The line has an outline in the background colour: one of the two contrasts with any picture by its
lightness alone, also for people with colour blindness."""
_SHRINK = (1.0, 0.85, 0.7, 0.5, 0.4)
"""Letter sizes to try, until no label covers too much of a face."""
_COVERED = 0.2
"""Maximum area of faces under a label, as a share of its own face's box, before smaller letters are tried."""


class Annotator:
    """Writes annotated copies of images into a folder.

    A copy keeps the path of its image relative to the common parent of all arguments, so images of the same
    name do not collide. It ends in ``.jpg``; that of a video ends in ``.mp4``.

    Args:
        folder: created if it does not exist.
        arguments: the files and folders that the images come from.
        overwrite: replace files that arcage did not write. The images themselves are never replaced.

    Raises:
        UsageError: ``folder`` is among the images.
        OutputError: the folder cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        overwrite: bool = False,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        self._arguments = arguments
        self._limits = limits
        self._overwrite = overwrite
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
            raise UsageError("`annotate` takes images of one drive: run arcage once for each") from None
        if os.path.realpath(folder) == os.path.realpath(self._root):
            raise UsageError(
                f"the pictures cannot go to {folder}: the images are there; choose another folder"
            )
        self._folder = folder
        make_folder(folder)

    @cached_property
    def _images(self) -> set[str]:
        """Real paths of the arguments; computed when needed, because a list may have millions."""
        return {os.path.realpath(argument) for argument in self._arguments}

    def target(self, source: Source) -> Path:
        """Return the path of the annotated copy of an image."""
        if source.data is not None:
            return self._folder / "stdin.jpg"
        relative = os.path.relpath(os.path.abspath(source.path), self._root)
        # Only the name of an object in a store can contain "..".
        path = self._folder.joinpath(*(part for part in relative.split(os.sep) if part != os.pardir))
        suffixes = (".mp4",) if source.video else (".jpg", ".jpeg")
        # The original suffix stays: a.png and a.jpg may be two images.
        return path if path.suffix.lower() in suffixes else path.with_name(path.name + suffixes[0])

    def check(self, target: Path) -> None:
        """Check whether an annotated copy may be written.

        Raises:
            UsageError: it would replace one of the images.
            ForeignFileError: it would replace a file that arcage did not write.
        """
        try:
            refuse_foreign(COMMENT, target)
        except ForeignFileError:
            real = os.path.realpath(target)
            if any(place in self._images for place in (real, *map(str, Path(real).parents))):
                raise UsageError(
                    f"a drawn picture would replace the image {target}: choose another folder"
                ) from None
            if not self._overwrite:
                raise

    def check_all(self, sources: Iterable[Source]) -> None:
        """Check the copies of all images, see :meth:`check`. Returns at once if the folder is empty."""
        if any(self._folder.iterdir()):
            for source in sources:
                self.check(self.target(source))

    def draw(self, source: Source, rows: Sequence[Prediction]) -> bool:
        """Write the annotated copy of one image. Return False if it has no face, or cannot be read any more.

        Raises:
            UsageError, ForeignFileError: see :meth:`check`.
            OutputError: the copy cannot be written.
        """
        if all(row.face is None for row in rows):
            return False
        try:
            image = decode(source.read(), limits=self._limits)
        except ImageError:
            return False
        target = self.target(source)
        self.check(target)
        make_folder(target.parent)
        picture = cv2.cvtColor(draw(image, rows), cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        with atomic_write(target) as file:
            file.write(_MARK + encoded[2:])
        return True


def draw(image: U8, rows: Sequence[Prediction], *, video: bool = False) -> U8:
    """Return a copy of an image with a box and a label around every face.

    Labels touch their box, stay inside the picture and do not overlap each other. In crowds they get smaller
    and move, in the end over their own face. A label without a free place is left out.

    Args:
        image: shape (height, width, 3), uint8, RGB, upright.
        rows: the rows of this image.
        video: the image is a frame of a video. Its size then depends only on that of the image, and each
            label begins with the number of the person. Otherwise labels are numbered if there are several
            faces.

    Returns:
        Shape (height, width, 3), uint8, RGB. Small images, and images with many small faces, are enlarged.
    """
    # A box of the user outside of the image has a number as well.
    faces = [row for row in rows if row.face is not None and row.status == "ok"]
    boxes = np.array([[row.x1, row.y1, row.x2, row.y2] for row in faces], float).reshape(-1, 4)
    words = [_words(row, numbered=video or row.faces > 1) for row in faces]
    plan = min(_plans(image.shape[:2], boxes, words, crowds=not video), key=lambda plan: plan.badness)
    picture: U8 = (
        cv2.resize(image, plan.size, interpolation=cv2.INTER_CUBIC)
        if plan.size != image.shape[1::-1]
        else image.copy()
    )
    for x1, y1, x2, y2 in plan.boxes.round().astype(int).tolist():
        cv2.rectangle(picture, (x1, y1), (x2, y2), _GROUND, plan.line + 2, cv2.LINE_AA)
        cv2.rectangle(picture, (x1, y1), (x2, y2), _LINE, plan.line, cv2.LINE_AA)
    for label, corner in plan.placed:
        label.write(picture, corner)
    return picture


@dataclass(frozen=True, slots=True)
class _Plan:
    size: tuple[int, int]
    """Width and height of the picture."""
    boxes: F64
    """Shape (n, 4): x1, y1, x2, y2, pixels of the picture, inside it."""
    line: int
    """Width of the boxes' lines, pixels."""
    placed: Sequence[tuple[_Label, F64]]
    """Labels and their upper left corners."""
    badness: tuple[int, float]
    """Number of labels without a place, and the largest area of faces under a label, see :func:`_place`."""


def _plans(
    shape: Sequence[int], boxes: F64, words: Sequence[Sequence[str]], *, crowds: bool
) -> Iterator[_Plan]:
    """Yield plans, from the simplest, up to the first one that is good enough.

    ``crowds`` allows enlarging pictures with many small faces.
    """
    long = max(shape)
    zooms = [max(1.0, _READABLE / long)]
    if len(boxes) and crowds:
        middle = max(1.0, float(np.median(boxes[:, 3] - boxes[:, 1])))
        zooms.append(min(_FACE / middle, _CROWD / long))
    for zoom in zooms[: 2 if zooms[-1] > zooms[0] else 1]:
        height, width = (round(zoom * side) for side in shape)
        line = max(2, round(max(height, width) / 400))
        # A box may reach past the border, where its lines would be invisible.
        least = line // 2
        most = np.maximum(np.array([width, height, width, height]) - 1 - least, least)
        zoomed = np.clip(boxes * zoom, least, most)
        lowest, highest = max(9, 0.011 * zoom * long), 0.035 * zoom * long
        capitals = np.clip(0.09 * (zoomed[:, 3] - zoomed[:, 1]), lowest, highest).tolist()
        for shrink in _SHRINK:
            labels = [
                _Label.fit(text, max(8.0, shrink * capital), width) if text else None
                for text, capital in zip(words, capitals, strict=True)
            ]
            lost, worst, placed = _place(labels, zoomed, np.array([width, height], float))
            yield _Plan((width, height), zoomed, line, placed, (lost, worst))
            if lost == 0 and worst <= _COVERED:
                return


def _words(row: Prediction, *, numbered: bool) -> list[str]:
    # Two short lines fit next to a face. OpenCV's font is limited to ASCII.
    words = []
    number = f"#{row.face}: " if numbered else ""
    if row.age_low is not None:
        age = "" if row.age is None else f"{row.age:.0f} "
        words.append(f"{number}{age}({row.age_low:.0f}-{row.age_high:.0f})")
    if row.gender is not None and row.p_female is not None:
        words.append(gender_text(row.p_female))
    if numbered and row.age_low is None:
        words.insert(0, f"#{row.face}")
    return words


@dataclass(frozen=True, slots=True)
class _Label:
    words: Sequence[str]
    capital: float
    """Height of capital letters, pixels."""
    size: F64
    """Width and height, pixels."""

    @classmethod
    def fit(cls, words: Sequence[str], capital: float, width: int) -> _Label:
        """Return a label with letters of this height, or smaller if the picture is too narrow."""
        pad = round(0.5 * capital)
        widest = max(cv2.getTextSize(word, _FONT, capital / _CAPITAL, 1)[0][0] for word in words)
        narrow = min(1.0, max(width - 2 * pad, 1) / widest)
        capital *= narrow
        size = [widest * narrow + 2 * pad, round(1.7 * capital) * len(words) + round(0.5 * capital)]
        return cls(words, capital, np.ceil(np.maximum(size, 1)))

    def write(self, picture: U8, corner: F64) -> None:
        """Draw the label; ``corner`` is its upper left corner."""
        pad, step = round(0.5 * self.capital), round(1.7 * self.capital)
        scale = self.capital / _CAPITAL
        left, top, right, bottom = np.concatenate([corner, corner + self.size]).astype(int).tolist()
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), _GROUND, cv2.FILLED)
        for number, word in enumerate(self.words, start=1):
            at = (left + pad, top + number * step)
            cv2.putText(picture, word, at, _FONT, scale, _TEXT, max(1, round(1.8 * scale)), cv2.LINE_AA)


def _place(
    labels: Sequence[_Label | None], boxes: F64, room: F64
) -> tuple[int, float, list[tuple[_Label, F64]]]:
    """Place labels one after the other, each where it covers the least area of faces.

    Args:
        labels: None for a face without estimates.
        boxes: shape (n, 4): x1, y1, x2, y2, pixels.
        room: width and height of the picture.

    Returns:
        The number of labels without a place; the largest area of faces under a label, as a share of its own
        face's box (other faces count ten times); the placed labels with their upper left corners.
    """
    placed: list[tuple[_Label, F64]] = []
    taken = np.empty((0, 4))
    lost, worst = 0, 0.0
    for i, (label, box) in enumerate(zip(labels, boxes, strict=True)):
        if label is None:
            continue
        places = np.clip(_places(box, label.size), 0, np.maximum(room - label.size, 0)).round()
        spots = np.concatenate([places, places + label.size], axis=1)
        # A label on another face would be read as the label of that face.
        weights = np.full(len(boxes), 10.0)
        weights[i] = 1.0
        covered = (_intersections(spots, boxes) * weights).sum(axis=1) / max(1.0, np.prod(box[2:] - box[:2]))
        covered[_intersections(spots, taken).any(axis=1)] = np.inf
        # Rounded, so that half a pixel does not move a label away from its usual place.
        best = int(np.argmin((covered / 0.03).round()))
        if np.isinf(covered[best]):
            lost += 1
            continue
        worst = max(worst, float(covered[best]))
        placed.append((label, places[best]))
        taken = np.concatenate([taken, spots[best : best + 1]])
    return lost, worst, placed


def _places(box: F64, size: F64) -> F64:
    """Return the upper left corners of places for a label at a box, the best first; shape (m, 2)."""
    (x1, y1, x2, y2), (w, h) = box, size
    along = [x1, x2 - w, (x1 + x2 - w) / 2]
    down = [y1, y2 - h, (y1 + y2 - h) / 2]
    return np.array(
        [
            *((x, y1 - h) for x in along),
            *((x, y2) for x in along),
            *((x2, y) for y in down),
            *((x1 - w, y) for y in down),
            *((x, y) for y in (y1 - h, y2) for x in (x1 - w / 2, x2 - w / 2, x1 - w, x2)),
            # Over the face, the chin matters least.
            *((x, y2 - h) for x in along),
            *((x, y1) for x in along),
        ]
    )


def _intersections(a: F64, b: F64) -> F64:
    """Return the intersection areas of rectangles, shapes (m, 4) and (n, 4) -> (m, n)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    area: F64 = np.prod(np.clip(high - low, 0, None), axis=2)
    return area


def _inside(path: Path, folder: str) -> bool:
    real, outer = os.path.realpath(path), os.path.realpath(folder)
    return real == outer or real.startswith(os.path.join(outer, ""))
