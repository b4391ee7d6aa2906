"""Read objects and index pages on HTTP servers, within limits of time and size."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from fsspec.asyn import sync
from fsspec.config import apply_config

from arcage.errors import ImageError
from arcage.process.pace import Pace

CONNECT_SECONDS = 10
"""Time limit of connecting to a server, seconds."""
SILENT_SECONDS = 20
"""Maximum time without data from a server, seconds."""
HEAD_SECONDS = 30
"""Time limit of a response until its body, including redirects, seconds."""
OBJECT_SECONDS = 300
"""Time limit of reading one object, seconds."""
MIN_RATE, PERIOD = 1000, 20.0
"""Lowest mean rate in each period of a body, bytes a second, and the length of a period, seconds."""
MAX_PAGE_BYTES = 16 << 20
"""Maximum size of an index page."""


def check_address(url: str) -> None:
    """Raise ImageError for a URL without a valid host and port."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ImageError("not a valid URL")


def filesystem_options(kind: Any, url: str) -> dict[str, Any]:
    """Return the options of fsspec's HTTP file system for a URL, with time limits.

    The user's fsspec configuration takes precedence.
    """
    timeout = aiohttp.ClientTimeout(
        total=OBJECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
    )
    # Encoding a URL again would break the signature of a signed URL.
    encoded = re.fullmatch(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+", url) is not None
    return {
        "encoded": encoded,
        "client_kwargs": {
            "timeout": timeout,
            "response_class": _Response,
            **apply_config(kind, {}).get("client_kwargs", {}),
        },
    }


class _Response(aiohttp.ClientResponse):
    """A response to fsspec, which reads parts of files without a limit of its own."""

    async def read(self) -> bytes:
        if self._body is None:
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.request_info.headers.get("Range", ""))
            limit = int(span[2]) - int(span[1]) + 1 if span else MAX_PAGE_BYTES
            body, is_whole = await read_body(self.content.readany, limit)
            if not is_whole:
                raise ImageError("the server sent more than was requested")
            self._body = body
        return await super().read()


def read_start(system: Any, key: str, size: int, *, limit: int, too_large: str = "") -> bytes:
    """Return the first bytes of an object.

    fsspec would read everything that a server sends, which may be endless, regardless of the status.

    Args:
        system: fsspec's HTTP file system.
        key: URL of the object.
        size: number of bytes to request.
        limit: number of bytes after which reading stops, if the server does not support ranges.
        too_large: message of the error for an object that is larger than ``limit``; empty for no error.

    Raises:
        ImageError: the server sent less than requested, or the object is too large.
        FileNotFoundError, aiohttp.ClientError, TimeoutError: the request failed, or is too slow.
    """
    headers = {"Range": f"bytes=0-{size - 1}"}
    data: bytes = sync(system.loop, _get, system, key, headers, limit, too_large)
    return data


def read_page(system: Any, key: str) -> str:
    """Return the text of an index page; empty if it is not HTML.

    Args:
        system: fsspec's HTTP file system.
        key: URL of the page.

    Raises:
        ImageError: the page is larger than :data:`MAX_PAGE_BYTES`.
        FileNotFoundError, aiohttp.ClientError, TimeoutError: as :func:`read_start`.
    """
    too_large = f"the index page is larger than {MAX_PAGE_BYTES:,} bytes"
    data: bytes = sync(system.loop, _get, system, key, {}, MAX_PAGE_BYTES, too_large, "text/html")
    return data.decode("utf-8", "ignore")


# More than five parameters: fsspec's `sync` calls it without keywords.
async def _get(
    system: Any, key: str, headers: dict[str, str], limit: int, too_large: str, kind: str = ""
) -> bytes:
    session = await system.set_session()
    options = dict(system.kwargs)
    headers = {**(options.pop("headers", None) or {}), **headers}
    async with asyncio.timeout(HEAD_SECONDS):
        response = await session.get(system.encode_url(key), headers=headers, **options)
    async with response:
        system._raise_not_found_for_status(response, key)
        if response.status not in (200, 203, 206):
            raise aiohttp.ClientResponseError(
                response.request_info,
                response.history,
                status=response.status,
                message=response.reason or "",
            )
        if kind and response.headers.get("Content-Type", kind).partition(";")[0].strip().lower() != kind:
            return b""
        if too_large and response.status != 206 and (response.content_length or 0) > limit:
            raise ImageError(too_large)
        body, _ = await read_body(response.content.readany, limit, too_large)
        if span := re.fullmatch(r"bytes=0-(\d+)", headers.get("Range", "")):
            _check_range(response, len(body), int(span[1]) + 1)
        return body


async def read_body(
    read: Callable[[], Awaitable[bytes]], limit: int, too_large: str = ""
) -> tuple[bytes, bool]:
    """Return at most ``limit`` bytes of a body, and whether these are all.

    Args:
        read: returns the next bytes; empty at the end.
        limit: number of bytes after which reading stops.
        too_large: message of the error if there are more; empty for no error.

    Raises:
        ImageError: there are more, and ``too_large`` is not empty.
        aiohttp.ClientError, TimeoutError: the transfer failed, or is too slow.
    """
    pace = Pace(MIN_RATE, PERIOD, OBJECT_SECONDS)
    body = io.BytesIO()  # returns its content without a copy
    while True:
        # aiohttp's own time limit ends with a response that it cannot parse.
        async with asyncio.timeout(SILENT_SECONDS):
            chunk = await read()
        if not chunk:
            return body.getvalue(), True
        if body.tell() + len(chunk) > limit:
            if too_large:
                raise ImageError(too_large)
            body.write(chunk[: limit - body.tell()])
            return body.getvalue(), False
        body.write(chunk)
        pace.add(len(chunk))


def _check_range(response: aiohttp.ClientResponse, received: int, size: int) -> None:
    if response.status != 206 or "Content-Encoding" in response.headers:
        return
    given = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", given.strip())
    if match is None:
        return
    if int(match[1]) or (match[2] != "*" and received < min(size, int(match[2]))):
        raise ImageError(f"the server gave only a part of the file ({given[:100]})")
