"""Read objects of S3 with limits on size and time.

s3fs would read everything that a server sends, which may be endless, whatever part was requested.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fsspec.asyn import sync

from arcage.sources.http import read_body

_CHUNK = 1 << 18
"""Bytes to read at once."""


def read(system: Any, key: str, *, limit: int, too_large: str, seconds: float) -> bytes:
    """Return the content of an object.

    Args:
        system: the file system of s3fs.
        key: bucket and name of the object.
        limit: maximum number of bytes.
        too_large: message of the error for a larger object.
        seconds: time limit until the data begins, including the retries of s3fs.

    Raises:
        ImageError: the object is larger than ``limit``.
        FileNotFoundError, PermissionError, OSError: the server refuses the request.
        aiohttp.ClientError, TimeoutError: the transfer failed, or is too slow.
    """
    data: bytes = sync(system.loop, _get, system, key, limit, too_large, seconds)
    return data


async def _get(system: Any, key: str, limit: int, too_large: str, seconds: float) -> bytes:
    bucket, name, version = system.split_path(key)
    request = {"Bucket": bucket, "Key": name, "Range": f"bytes=0-{limit}"}
    if version:
        request["VersionId"] = version
    async with asyncio.timeout(seconds):
        body = (await system._call_s3("get_object", **request))["Body"]
    try:
        data, _ = await read_body(lambda: body.read(_CHUNK), limit, too_large)
        return data
    finally:
        body.close()
