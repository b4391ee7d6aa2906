"""Write predictions as a page with thumbnails, histograms, sorting and filters."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from arcage._version import __version__
from arcage.errors import ImageError, UsageError
from arcage.files import atomic_write, refuse_foreign
from arcage.heads.familiarity import UNFAMILIAR
from arcage.images.decoder import decode
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.output.rows import json_row
from arcage.report.elements import STYLE
from arcage.report.thumbnail import thumbnail
from arcage.sources.source import Source
from arcage.text import html_text
from arcage.types import Prediction

Add = Callable[[Source, Sequence[Prediction]], None]
"""Adds the rows of an image."""

SUFFIXES = (".html", ".htm")


def check_page_file(path: Path) -> None:
    """Check whether :func:`write_page` may write ``path``.

    Raises:
        UsageError: the name does not end in ``.html``.
        ForeignFileError: arcage did not write the existing file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the report is an HTML page: end the name of `report` {path} in .html")
    refuse_foreign(rb"<title>arcage: ", path)


@contextmanager
def write_page(
    path: Path, title: str, limits: DecodeLimits = DEFAULT_LIMITS, *, interval: float = 90
) -> Iterator[Add]:
    """Write a self-contained page; yields a function that adds the rows of an image.

    Rows are written to disk at once, so memory does not grow with their number. An image with a face is read
    again for its thumbnails, because neither the cache nor the predictor keeps pixels. If that fails, its
    rows have no thumbnail.

    Args:
        path: replaced when the ``with`` block ends without an exception.
        title: name of the images.
        limits: limits of decoding an image.
        interval: level of the interval, percent.

    Raises:
        OutputError: the page cannot be written.
    """
    before, after = _shell(title, interval)
    with atomic_write(path, "w") as file:
        file.write(before)
        separator = ""

        def add(source: Source, rows: Sequence[Prediction]) -> None:
            nonlocal separator
            for i, (row, picture) in enumerate(zip(rows, _thumbnails(source, rows, limits), strict=True)):
                unfamiliar = row.familiarity is not None and row.familiarity < UNFAMILIAR
                extra = {"first": i == 0, "thumbnail": picture, "unfamiliar": unfamiliar}
                file.write(separator + _json({**json_row(row), **extra}))
                separator = ",\n"

        yield add
        file.write(after)


def _thumbnails(source: Source, rows: Sequence[Prediction], limits: DecodeLimits) -> list[str | None]:
    nothing: list[str | None] = [None] * len(rows)
    if rows[0].face is None:
        return nothing
    try:
        image = decode(source.read(), limits=limits)
    except ImageError:
        return nothing
    boxes = np.array([[row.x1, row.y1, row.x2, row.y2] for row in rows], float)
    return [base64.b64encode(thumbnail(image, box)).decode("ascii") for box in boxes]


def _json(value: Any) -> str:
    # ASCII without a < cannot end the script element that contains it.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _shell(title: str, interval: float) -> tuple[str, str]:
    """Return the page before and after its rows."""
    here = Path(__file__)
    style = STYLE.read_text("utf-8") + here.with_suffix(".css").read_text("utf-8")
    script = here.with_suffix(".js").read_text("utf-8")
    body = here.with_suffix(".html").read_text("utf-8").replace("90 %", f"{interval:g} %")
    # Even if a file name could inject markup, it would neither run nor load anything.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    shown = html_text(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>arcage: {shown}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Faces in {shown}</h1>\n{body}"
        f"<footer>arcage {escape(__version__)}.</footer>\n</main>\n"
        '<script type="application/json" id="rows">[\n',
        f"\n]</script>\n<script>{script}</script>\n</body>\n</html>\n",
    )
