"""Receive the file in the body of a request, within limits."""

from __future__ import annotations

import asyncio
import io

from starlette.exceptions import HTTPException
from starlette.requests import Request

from arcage.app.forms import FRAME, FormError, only_file
from arcage.app.limits import Limits
from arcage.app.uploads import Upload

_FORM = "multipart/form-data"
_ZIPS = ("application/zip", "application/x-zip-compressed")
_HOW = (
    "send the bytes of one photo as the body (curl --data-binary @photo.jpg) or in a form "
    "(curl -F file=@photo.jpg)"
)


async def receive_photo(request: Request, limits: Limits, upload: Upload) -> tuple[str, bytes]:
    """Return the name and the bytes of a photo; the name is empty unless a form names the file.

    Raises:
        HTTPException: the body is too large, too slow, or not a file.
    """
    name, data = await receive_file(request, limits.photo_bytes, upload)
    _check_photo(_content_type(request), data)
    return name, data


async def receive_file(request: Request, limit: int, upload: Upload) -> tuple[str, bytes]:
    """Return the name and the bytes of a file, sent as the body or in a form; a body has no name.

    Args:
        limit: maximum size of the file, bytes.
        upload: counts the bytes.

    Raises:
        HTTPException: the body is too large, too slow, compressed, or a damaged form.
    """
    is_form = _content_type(request) == _FORM
    body = await _receive(request, limit, FRAME if is_form else 0, upload)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HTTPException(415, f"the body is compressed ({encoding[:100]}): send it uncompressed")
    if not is_form:
        return "", body
    try:
        name, data = await asyncio.to_thread(only_file, body, request.headers["content-type"])
    except FormError as error:
        raise HTTPException(400, str(error)) from None
    if len(data) > limit:
        raise _too_large(limit)
    return name, data


async def _receive(request: Request, limit: int, frame: int, upload: Upload) -> bytes:
    if int(request.headers.get("content-length", 0)) > limit + frame:
        raise _too_large(limit)
    body = io.BytesIO()
    async with upload.receiving():
        async for chunk in request.stream():
            if body.tell() + len(chunk) > limit + frame:
                raise _too_large(limit)
            await upload.add(len(chunk))
            body.write(chunk)
    return body.getvalue()


def _check_photo(content_type: str, data: bytes) -> None:
    """Refuse a body that is not a file.

    The type is not enough: ``curl --data-binary`` declares every photo as a URL-encoded form.
    """
    if content_type.startswith("image/") or content_type in (_FORM, "application/octet-stream"):
        return
    if not data:
        raise HTTPException(400, f"the body is empty: {_HOW}")
    if content_type in _ZIPS:
        raise HTTPException(415, "this is a zip: send it to /api/batch")
    if data.startswith(b"data:") or (content_type and _is_text(data)):
        raise HTTPException(415, f"the body is text ({content_type or 'a data URL'}), not a photo: {_HOW}")


def _is_text(data: bytes) -> bool:
    start = data[:1000]
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(start) - error.start > 3:  # more than a truncated last character
            return False
        text = start[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter.isspace() for letter in text)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"too large: the limit is {limit:,} bytes")
