"""Receive the files in the body of a request, within limits."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request

from arcage.app.forms import FRAME, FormError, files_in
from arcage.app.limits import Limits
from arcage.app.uploads import Upload

_FORM = "multipart/form-data"
_ZIPS = ("application/zip", "application/x-zip-compressed")
_HOW = (
    "send the bytes of one photo as the body (curl --data-binary @photo.jpg) or in a form "
    "(curl -F file=@photo.jpg)"
)


class File(Protocol):
    """A file and its name."""

    @property
    def name(self) -> str:
        """A label only, empty if there is none: no file of this name is opened."""

    def read(self) -> bytes:
        """Return the content."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is a file."""

    data: bytes = field(repr=False)
    name: str = ""

    def read(self) -> bytes:
        """Return the content."""
        return self.data


async def receive_photos(request: Request, limits: Limits, upload: Upload) -> list[File]:
    """Return the photos of a request, at least one; together, they have the maximum size of one photo.

    Raises:
        HTTPException: the body is too large, too slow, or not a file.
    """
    files = await _receive_files(request, limits.photo_bytes, upload)
    kind = _content_type(request)
    if kind != _FORM:
        _check_photo(kind, files[0].read())
    return files


async def receive_file(request: Request, limit: int, upload: Upload) -> bytes:
    """Return the content of a file, sent as the body or in a form.

    Args:
        limit: maximum size of the file, bytes.
        upload: counts the bytes.

    Raises:
        HTTPException: the body is too large, too slow, compressed, or a form that is damaged or contains
            several files.
    """
    files = await _receive_files(request, limit, upload)
    if len(files) > 1:
        raise HTTPException(400, f"this form contains {len(files)} files: send one zip per request")
    return files[0].read()


async def _receive_files(request: Request, limit: int, upload: Upload) -> list[File]:
    is_form = _content_type(request) == _FORM
    body = await _receive(request, limit, FRAME if is_form else 0, upload)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HTTPException(415, f"the body is compressed ({encoding[:100]}): send it uncompressed")
    if not is_form:
        return [Body(body)]
    try:
        files = await asyncio.to_thread(files_in, body, request.headers["content-type"])
    except FormError as error:
        raise HTTPException(400, str(error)) from None
    if sum(file.end - file.start for file in files) > limit:
        raise _too_large(limit)
    return list(files)


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
    if content_type.startswith("image/") or content_type == "application/octet-stream":
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
