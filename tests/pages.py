"""Rows for HTML pages, and a parser for their content."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np

from arcage.report.predictions_page import write_page
from arcage.sources.source import Source
from arcage.types import Prediction

FACE = Prediction("a.jpg", 0, 1, 100, 50, 300, 250, 0.9, 34.2, 27, 42, "female", 0.97, "ok", None)
NO_FACE = Prediction("b.jpg", None, 0, *[None] * 10, "no_face", None)  # type: ignore[arg-type]
EVIL = '</script><img src=x onerror="alert(1)"><!--\u202e.jpg'


def written(path: Path, *images: tuple[Source, list[Prediction]], title: str = "photos") -> str:
    with write_page(path, title) as add:
        for source, rows in images:
            add(source, rows)
    return path.read_text("utf-8")


VOID = {"meta", "img", "source", "br"}


def picture(n: int) -> bytes:
    """Return a JPEG of 200 x 200 pixels, with ``n`` encoded in its red channel."""
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[50:150, 50:150] = (30, 120, 4 * n)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


class Page(HTMLParser):
    """Parser that checks that tags are closed, and keeps tables, texts and the attributes of all tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[list[str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)
            if "td" in self.open or "th" in self.open:
                self.rows[-1][-1].append(data)

    @property
    def words(self) -> str:
        return "\n".join(self.texts)

    def cards(self) -> int:
        return sum(attrs.get("class") == "face" for _, attrs in self.tags)
