"""Find the links of an index page: the list of a folder that an HTTP server writes."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from arcage.sources.folders import Entry

# Each piece of the page is searched once, so that no page takes longer than its size demands.
_LINK = re.compile(r"""a\s[^>]*?(?<=\s)href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[-a-zA-Z0-9@:%_+.~#?&/=]{1,10000}")
_LONGEST = 10_000
"""Longest tag of a link, characters."""


def index_entries(page: str, url: str) -> list[Entry]:
    """Return the files and folders directly inside a folder, to which its index page links.

    Links to other places are ignored. An entry is a folder if its link ends in ``/``.

    Args:
        page: HTML.
        url: URL of the folder.
    """
    folder = urlsplit(url).geturl().rstrip("/") + "/"
    found: dict[Entry, None] = {}
    for link in _links(page):
        try:
            target = urlsplit(urljoin(folder, link))._replace(fragment="").geturl()
        except ValueError:
            continue
        name = target.removeprefix(folder)
        plain = name.rstrip("/")
        if target == name or not plain or "/" in plain or (plain != name and "?" in plain):
            continue
        found[Entry(plain, plain != name)] = None
    return list(found)


def _links(page: str) -> Iterator[str]:
    for tag in page.split("<"):
        if tag[:1] in ("a", "A") and (match := _LINK.match(tag[:_LONGEST])):
            yield html.unescape(match[1] or match[2] or match[3] or "").strip()
    yield from _ADDRESS.findall(page)
