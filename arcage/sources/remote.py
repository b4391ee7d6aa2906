"""Read images and list folders at URLs (``s3://``, ``gs://``, ``https://``, ...) with fsspec."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable
from typing import Any, TypeVar

from arcage.errors import ImageError, UsageError
from arcage.files import MAX_FILE_BYTES, read_bytes
from arcage.sources.failures import ABSENT, has_invalid_credentials, http_status, is_http_error
from arcage.sources.filesystems import Location, locate
from arcage.sources.folders import Entry
from arcage.sources.index_pages import index_entries
from arcage.sources.servers import send
from arcage.sources.url import is_http, url_links

T = TypeVar("T")

_MAX_DEPTH = 40
"""Maximum depth of folders on an HTTP server: some return the same page for every address."""


def read(url: str) -> bytes:
    """Return the content of one object.

    Raises:
        ImageError: the object does not exist, may not be read by this user, or is larger than
            :data:`~arcage.files.MAX_FILE_BYTES`.
        RemoteError: the server cannot be reached, or refuses the credentials.
    """
    data = read_object(url, MAX_FILE_BYTES)
    if is_http(url) and re.match(rb"\s*<(!doctype html|html)", data[:200], re.IGNORECASE):
        raise ImageError("a web page, not an image; an index page of images is a folder: end its URL in /")
    return data


def read_object(url: str, max_bytes: int) -> bytes:
    """Return the content of one object of any kind.

    Args:
        url: of the object.
        max_bytes: limit of the size.

    Raises:
        ImageError, RemoteError: as :func:`read`.
    """
    try:
        location = _locate(url)
        if location.is_local:
            return read_bytes(location.key)
        data = _send(url, lambda: _content(location, max_bytes))
    except ABSENT:
        raise ImageError("no such file") from None
    if len(data) > max_bytes:
        raise ImageError(_too_large(max_bytes))
    return data


def is_folder(url: str) -> bool:
    """Return whether a URL is a folder. On an HTTP server, a folder ends in ``/``.

    Raises:
        FileNotFoundError: the object does not exist.
        ImageError, RemoteError: as :func:`read`.
    """
    if is_http(url):
        return re.fullmatch(r"https?://[^/?#]*(/([^?#]*/)?)?", url, re.IGNORECASE) is not None
    at = _locate(url)
    try:
        return _send(url, lambda: bool(at.system.info(at.key, **at.timeout)["type"] == "directory"))
    except NotADirectoryError:
        raise FileNotFoundError from None


def list_folder(url: str) -> list[Entry]:
    """Return the entries of a folder. Raises the same errors as :func:`is_folder`."""
    at = _locate(url)
    key = at.key
    if is_http(url):
        key = key.rstrip("/") + "/"
        if key.count("/") > _MAX_DEPTH:
            raise OSError(errno.ELOOP, "too many folders inside folders")
        from arcage.sources.http import read_page

        return index_entries(_send(url, lambda: read_page(at.system, key)), key)
    entries = []
    for found in _send(url, lambda: at.system.ls(key, detail=True, **at.timeout)):
        # Some stores keep an empty object as a marker of a folder.
        path = found["name"].rstrip("/")
        if path != key.rstrip("/"):
            entries.append(Entry(path.rpartition("/")[2], found["type"] == "directory"))
    return entries


def open_file(url: str) -> io.IOBase:
    """Open an object for reading parts of it.

    Raises:
        OSError: the object cannot be opened.
        ImageError: the server does not support ranges, and the object is too large to be kept in memory.
        RemoteError: as :func:`read`; also raised while reading.
    """
    at = _locate(url)
    try:
        if is_http(url):
            from arcage.sources.http import read_start

            # If the size is requested, fsspec reports every failure as a missing file.
            too_large = "too large for a server without support for ranges: download it first"
            data = _send(
                url, lambda: read_start(at.system, at.key, 1, limit=MAX_FILE_BYTES, too_large=too_large)
            )
            if len(data) > 1:  # the server does not support ranges
                return io.BytesIO(data)
        return _RemoteFile(url, _send(url, lambda: at.system.open(at.key, "rb")))
    except IsADirectoryError:
        raise FileNotFoundError(errno.ENOENT, "no such file") from None


class _RemoteFile(io.RawIOBase):
    """A file of fsspec with retries and arcage's errors."""

    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()

        def read_part() -> bytes:
            self._file.seek(start)
            data: bytes = self._file.read(size)
            return data

        return _send(self._url, read_part)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _too_large(limit: int) -> str:
    return f"too large: the limit is {limit:,} bytes"


def _content(at: Location, limit: int) -> bytes:
    """Return at most one byte more than ``limit``."""
    most = limit + 1
    try:
        if is_http(at.url):
            from arcage.sources.http import read_start

            return read_start(at.system, at.key, most, limit=limit, too_large=_too_large(limit))
        if hasattr(at.system, "_call_s3"):
            from arcage.sources import s3

            return s3.read(
                at.system,
                at.key,
                limit=limit,
                too_large=_too_large(limit),
                seconds=at.timeout["timeout"],
            )
        # With a range, the size is not requested first.
        data: bytes = at.system.cat_file(at.key, start=0, end=most, **at.timeout)
    except PermissionError as error:
        if has_invalid_credentials(error):
            raise
        raise ImageError("Permission denied") from None
    except (*ABSENT, ImageError):
        raise
    except Exception as error:
        # An empty object has no ranges.
        if http_status(error) == 416:
            return b""
        if is_http_error(error) or at.system.info(at.key, **at.timeout)["size"] != 0:
            raise
        return b""
    return data


def _locate(url: str) -> Location:
    try:
        return locate(url)
    except ABSENT as error:
        _check_archive(url)
        if isinstance(error, IsADirectoryError):
            raise UsageError(f"cannot open {url}: {url_links(url)[-1]} is a folder") from None
        raise


def _send(url: str, request: Callable[[], T]) -> T:
    def checked() -> T:
        try:
            return request()
        except ABSENT:
            _check_archive(url)
            raise

    return send(url, checked)


def _check_archive(url: str) -> None:
    """Raise the error of an HTTP server for the archive of a chained URL.

    fsspec reports every failure as a missing file.
    """
    archive = url_links(url)[-1]
    if archive != url and is_http(archive):
        from arcage.sources.http import read_start

        at = _locate(archive)
        send(archive, lambda: read_start(at.system, at.key, 1, limit=1))
