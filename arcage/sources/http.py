"""Read parts of objects on HTTP servers."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from fsspec.asyn import sync
from fsspec.config import apply_config

from arcage.errors import ImageError

CONNECT_SECONDS = 10
"""Time limit of connecting to a server, seconds."""
SILENT_SECONDS = 20
"""Maximum time without data from a server, seconds."""
OBJECT_SECONDS = 300
"""Time limit of reading one object, seconds."""


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
        "client_kwargs": {"timeout": timeout, **apply_config(kind, {}).get("client_kwargs", {})},
    }


def read_start(system: Any, key: str, size: int, *, limit: int) -> bytes:
    """Return the first bytes of an object.

    fsspec would read everything that a server sends, which may be endless, regardless of the status.

    Args:
        system: fsspec's HTTP file system.
        key: URL of the object.
        size: number of bytes to request.
        limit: number of bytes after which reading stops, if the server does not support ranges.

    Raises:
        ImageError: the server sent less than requested.
        FileNotFoundError, aiohttp.ClientError, TimeoutError: the request failed.
    """
    data: bytes = sync(system.loop, _get, system, key, size, limit)
    return data


async def _get(system: Any, key: str, size: int, limit: int) -> bytes:
    session = await system.set_session()
    options = dict(system.kwargs)
    headers = {**(options.pop("headers", None) or {}), "Range": f"bytes=0-{size - 1}"}
    async with session.get(system.encode_url(key), headers=headers, **options) as response:
        system._raise_not_found_for_status(response, key)
        if response.status not in (200, 203, 206):
            raise aiohttp.ClientResponseError(
                response.request_info,
                response.history,
                status=response.status,
                message=response.reason or "",
            )
        chunks, received = [], 0
        while received < limit:
            # aiohttp's own time limit ends with a response that it cannot parse.
            async with asyncio.timeout(SILENT_SECONDS):
                chunk = await response.content.readany()
            if not chunk:
                break
            chunks.append(chunk)
            received += len(chunk)
        if response.status == 206 and "Content-Encoding" not in response.headers:
            _check_range(response.headers.get("Content-Range", ""), received, size)
        return b"".join(chunks)


def _check_range(given: str, received: int, size: int) -> None:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", given.strip())
    if match is None:
        return
    if int(match[1]) or (match[2] != "*" and received < min(size, int(match[2]))):
        raise ImageError(f"the server gave only a part of the file ({given})")
