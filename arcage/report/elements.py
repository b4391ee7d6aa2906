"""Elements of report pages. A page loads nothing from elsewhere and runs no script; text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from arcage._version import __version__
from arcage.report.plots import Plots
from arcage.text import gender_text, html_text

STYLE = Path(__file__).with_name("style.css")

COUNTS = {
    "labelled": "different images with a label",
    "no_face": "excluded: no face found",
    "unreadable": "excluded: the image cannot be read",
    "contradictory": "excluded: copies of an image have different labels",
    "used": "images with a label and a face",
    "copies": "additional labelled paths of an image that is already counted",
    "unlabelled": "images in the cache without a label",
    "missing": "labels without an image in the cache",
    "ambiguous": "labels that match several images",
}
"""Descriptions of :class:`arcage.data.notes.Counts`."""

NO_THUMBNAILS = "There are no thumbnails: they need the folder of the images."


def document(title: str, heading: str, sections: Iterable[str], numbers: str) -> str:
    """Return a page.

    Args:
        title, heading: HTML.
        sections: HTML; empty ones are skipped.
        numbers: name of the JSON file with the numbers of the page.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE.read_text('utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{heading}</h1>\n"
        + "\n".join(section for section in sections if section)
        + f"\n<footer>arcage {escape(__version__)}. All numbers are in {numbers}.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def tiles(cells: Iterable[tuple[str, str, str]]) -> str:
    """Return a row of tiles, each with a title, a value and a line of small print (HTML)."""
    every = "".join(
        f'<div class="tile"><div class="name">{title}</div><div class="value">{value}</div>'
        f'<div class="ci">{small}</div></div>'
        for title, value, small in cells
    )
    return f'<div class="tiles">{every}</div>'


def counts_table(counts: Mapping[str, int]) -> str:
    """Return a table of the images by :data:`COUNTS`; empty without counts."""
    rows = [(COUNTS[name], counts[name]) for name in COUNTS if name in counts]
    return two_columns(rows) if rows else ""


def two_columns(rows: Iterable[tuple[str, int]]) -> str:
    """Return a table of names and numbers."""
    body = "".join(f"<tr><th>{html_text(name)}</th><td>{number:,}</td></tr>" for name, number in rows)
    return f'<div class="wide fit"><table class="counts">{body}</table></div>'


def gallery(captions: Mapping[str, tuple[str, str]], plots: Plots) -> str:
    """Return all plots, each with its title and caption."""
    every = "".join(
        f"<figure><figcaption><strong>{html_text(title)}.</strong> {html_text(caption)}</figcaption><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{_inline(plots.dark[name], "png")}">'
        f'<img src="{_inline(plots.light[name], "png")}" alt="{html_text(title)}" width="810" height="585">'
        "</picture></figure>\n"
        for name, (title, caption) in captions.items()
        if name in plots.light
    )
    return f'<div class="plots">\n{every}</div>'


def face_cards(cards: Iterable[str]) -> str:
    """Return a grid of cards; empty without cards."""
    every = "".join(cards)
    return f'<div class="faces">{every}</div>' if every else ""


def face_card(face: dict[str, Any], lines: Iterable[str], thumbnail: bytes | None) -> str:
    """Return a card with a face, some lines of text, and the file name.

    Args:
        face: from :func:`arcage.audit.records.face_records`.
        lines: text.
        thumbnail: a JPEG, if there is one.
    """
    name = face["names"][0] if face["names"] else f"{face['sha256'][:12]}..."
    picture = (
        f'<img src="{_inline(thumbnail, "jpeg")}" alt="">'
        if thumbnail is not None
        else '<div class="none">no picture</div>'
    )
    text = "".join(f"<div>{html_text(line)}</div>" for line in lines)
    full = html_text(", ".join(face["names"]) or face["sha256"])
    return (
        f'<div class="face">{picture}<div class="words">{text}'
        f'<div class="file" title="{full}">{html_text(name)}</div></div></div>'
    )


def comparison_lines(face: dict[str, Any], attribute: str) -> list[str]:
    """Return the label and the prediction of a face, by ``age`` or ``gender``."""
    if attribute == "age":
        interval = f"90 %: {face['age_low']:.0f} to {face['age_high']:.0f}"
        return [f"label {face['label_age']:g}", f"predicted {face['age']:.1f}", interval]
    lines = [f"label {face['label_gender']}", f"predicted {gender_text(face['p_female'])}"]
    if face["label_age"] is not None:
        lines.append(f"labelled age {face['label_age']:g}")
    return lines


def _inline(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
