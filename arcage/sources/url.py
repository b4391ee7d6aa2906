"""Parse URLs, including chained ones such as ``zip://photo.jpg::s3://bucket/photos.zip``."""

from __future__ import annotations

import re
from urllib.parse import unquote

WRAPPERS = ("zip", "tar", "libarchive", "simplecache", "filecache", "blockcache")
"""fsspec protocols that open a file of another URL, as in ``zip://photo.jpg::s3://bucket/photos.zip``."""
_SCHEME = re.compile(rf"(?:(?:{'|'.join(WRAPPERS)})::)*([A-Za-z][A-Za-z0-9+.-]+)://", re.IGNORECASE)


def is_url(path: str) -> bool:
    """Return whether a path is a URL, such as ``s3://bucket/photo.jpg``.

    A scheme has at least two letters, because a single letter is a Windows drive.
    """
    return _SCHEME.match(path) is not None


def is_http(url: str) -> bool:
    """Return whether a URL is a plain ``http://`` or ``https://`` URL."""
    return re.match(r"https?://", url, re.IGNORECASE) is not None


def file_url_path(path: str) -> str:
    """Return the path in a ``file://`` URL; any other path or URL is returned unchanged."""
    return re.sub(r"^(file|local)://(/(?=[a-z]:))?", "", path, flags=re.IGNORECASE)


def url_scheme(url: str) -> str:
    """Return the first scheme of a URL in lower case, without ``://``."""
    return url.split("://", 1)[0].lower()


def url_links(url: str) -> list[str]:
    """Split a chained URL: ``zip://a.jpg::s3://b/c.zip`` into ``zip://a.jpg`` and ``s3://b/c.zip``.

    A URL that is not chained is one link, even if it contains colons.
    """
    parts = url.split("::")
    inner = 0
    while inner < len(parts) - 1 and url_scheme(parts[inner]) in WRAPPERS:
        inner += 1
    return [*parts[:inner], "::".join(parts[inner:])]


def url_name(url: str) -> str:
    """Return the name of the object at a URL: its last part, decoded and without a query."""
    place = next((link for link in url_links(url) if "://" in link), url)
    if is_http(place):
        server, path = re.match(r"https?://([^/?#]*)([^?#]*)", place, re.IGNORECASE).groups()  # type: ignore[union-attr]
        place = unquote(path).strip("/") or server
    return place.rstrip("/").rsplit("/", 1)[-1]


def url_server(url: str) -> str:
    """Return the scheme and server of a URL, such as ``https://host:8080`` or ``s3://bucket``.

    In a chained URL, this is the server of the last link.
    """
    return re.sub(r"(?<=://)([^/?#]*).*", r"\1", url_links(url)[-1], flags=re.DOTALL)


def join_url(folder: str, entry: str) -> str:
    """Return the URL of an entry in the folder at a URL, which may be chained."""
    links = url_links(folder)
    at = next(i for i, link in enumerate(links) if "://" in link)
    head = links[at] if links[at].endswith("://") else links[at].rstrip("/") + "/"
    return "::".join([*links[:at], head + entry, *links[at + 1 :]])
