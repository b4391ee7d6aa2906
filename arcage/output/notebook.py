"""Show the predictions for one image in a notebook: a table of the faces, with the picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

import cv2

from arcage.output.annotate import draw
from arcage.output.rows import MORE_DECIMALS, more_values
from arcage.text import counted, gender_text, html_text
from arcage.types import U8, Prediction

_SIDE, _CROWD_SIDE = 640, 1280
"""Longest side of the picture, also with many small faces, pixels."""
_QUALITIES = (85, 60, 30)
"""JPEG qualities, the first that is small enough."""
_MOST_BYTES = 200_000
_MOST_ROWS = 50


def notebook_html(
    rows: Sequence[Prediction], picture: U8 | None, *, more: Sequence[str] = (), interval: float = 90
) -> str:
    """Return a table of the faces as HTML that loads nothing, with a small copy of the picture.

    Args:
        rows: of one image.
        picture: shape (height, width, 3), uint8, RGB, upright; None for the table alone.
        more: names of additional columns.
        interval: level of the interval, percent.
    """
    faces = [row for row in rows if row.face is not None]
    shown = "".join(f"<p>{html_text(_sentence(row))}</p>" for row in rows if row.face is None)
    if picture is not None:
        data = base64.b64encode(_small_jpeg(picture, rows)).decode("ascii")
        shown += f'<img alt="The picture with a box around each face" src="data:image/jpeg;base64,{data}">'
    if faces:
        shown += _table(faces, more, interval)
    return f"<div>{shown}</div>"


def _sentence(row: Prediction) -> str:
    return f"{row.path}: {row.error or 'no face'}"


def _table(faces: Sequence[Prediction], more: Sequence[str], interval: float) -> str:
    heads = ("face", "age", f"{interval:g} %", "gender", *more, "familiarity", "score")
    lines = [
        (
            f"#{row.face} of {row.faces}",
            _number(row.age, 1),
            f"{row.age_low:.0f}-{row.age_high:.0f}" if row.age_low is not None else "",
            gender_text(row.p_female) if row.gender is not None and row.p_female is not None else "",
            *(_number(value, MORE_DECIMALS) for value in more_values(row, more)),
            _number(row.familiarity, 2),
            _number(row.det_score, 2),
        )
        for row in faces[:_MOST_ROWS]
    ]
    body = "".join(f"<tr>{_cells('td', line)}</tr>" for line in lines)
    rest = len(faces) - _MOST_ROWS
    others = f"<p>and {counted(rest, 'other face')}</p>" if rest > 0 else ""
    caption = f"<caption>{html_text(faces[0].path)}</caption>"
    return (
        f"<table>{caption}<thead><tr>{_cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>{others}"
    )


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{html_text(text)}</{tag}>" for text in texts)


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _small_jpeg(picture: U8, rows: Sequence[Prediction]) -> bytes:
    """Return a small annotated copy. It is drawn after it is made small, so that its letters are legible."""
    scale = _SIDE / max(picture.shape[:2])
    if scale < 1:
        picture = _resized(picture, scale)
        rows = [_scaled(row, scale) for row in rows]
    drawn = draw(picture, rows)
    drawn = _resized(drawn, min(1.0, _CROWD_SIDE / max(drawn.shape[:2])))
    bgr = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    for quality in _QUALITIES:
        data: bytes = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= _MOST_BYTES:
            break
    return data


def _resized(picture: U8, scale: float) -> U8:
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    small: U8 = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return small


def _scaled(row: Prediction, scale: float) -> Prediction:
    box = {
        name: value * scale for name in ("x1", "y1", "x2", "y2") if (value := getattr(row, name)) is not None
    }
    return replace(row, **box)
