"""Links of index pages, and pages that are not index pages."""

from __future__ import annotations

import time

import pytest

from arcage.sources.folders import Entry
from arcage.sources.index_pages import index_entries

FOLDER = "https://host:8/p/q/"


@pytest.mark.parametrize(
    ("page", "entries"),
    [
        ('<A HREF="a.jpg">a</A>', [("a.jpg", False)]),
        ("<a class='x' href='a.jpg'>", [("a.jpg", False)]),
        ("<a href=a.jpg>", [("a.jpg", False)]),
        ("<a\n title=x\n href = 'd/' >", [("d", True)]),
        ('<a href="./a.jpg">', [("a.jpg", False)]),
        ('<a href="/p/q/a.jpg">', [("a.jpg", False)]),
        ('<a href="https://host:8/p/q/a.jpg">', [("a.jpg", False)]),
        ("see https://host:8/p/q/a.jpg or", [("a.jpg", False)]),
        ('<a href="a%20b.jpg">', [("a%20b.jpg", False)]),
        ('<a href="a&amp;b.jpg">', [("a&b.jpg", False)]),
        ('<a href="a.jpg"><a href="a.jpg">', [("a.jpg", False)]),
        ('<a href="a.jpg#top">', [("a.jpg", False)]),
        ('<a href="../">', []),
        ('<a href="../q/a.jpg">', [("a.jpg", False)]),
        ('<a href="/p/other/a.jpg">', []),
        ('<a href="https://elsewhere/p/q/a.jpg">', []),
        ('<a href="d/a.jpg">', []),
        ('<a href="?C=N/">', []),
        ('<a href="javascript:x/">', []),
        ('<a href="//["><a href="a.jpg">', [("a.jpg", False)]),
        ('<abbr href="a.jpg"><a nohref="a.jpg"><b>a href="a.jpg"', []),
        ("<a href=", []),
        ("", []),
    ],
)
def test_links(page: str, entries: list[tuple[str, bool]]) -> None:
    assert index_entries(page, FOLDER) == [Entry(*entry) for entry in entries]


@pytest.mark.parametrize(
    "piece", ["<a ", "<a href", "<a href=", '<a href="', "<", "a href ", "http://", "&#", "<a href='../"]
)
def test_the_time_grows_with_the_size(piece: str) -> None:
    start = time.monotonic()
    index_entries(piece * (1_000_000 // len(piece)), FOLDER)
    assert time.monotonic() - start < 3
