"""Images behind URLs (``s3://bucket/folder``, ``gs://``, ``memory://``, ...), by way of fsspec."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from arcage.errors import ArcageError, ImageError, RemoteError, UsageError
from arcage.files import MAX_FILE_BYTES, read_bytes
from arcage.sources import Source, is_url

_READERS = 16
"""Reads under way at once. They wait for the network, not for a core."""

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

# What S3 says of the one who asks, and not of the object that was asked for.
_STRANGER = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "AccountProblem",
    "InvalidSecurity",
}


def read(url: str) -> bytes:
    """One object.

    Raises:
        ImageError: it is not there, not for this reader, or larger than :data:`~arcage.files.MAX_FILE_BYTES`.
        RemoteError: the place cannot be reached, or does not accept the credentials.
    """
    system, key = _system(url)
    if _is_local(system):
        return read_bytes(key)
    with _trouble(url):
        try:
            data = _content(system, key)
        except _ABSENT:
            raise ImageError("no such file") from None
        except PermissionError as error:
            if _STRANGER & set(_codes(error)):
                raise
            raise ImageError("Permission denied") from None
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"too large: the limit is {MAX_FILE_BYTES:,} bytes")
    return data


def is_folder(url: str) -> bool:
    """Whether there is a folder. Raises FileNotFoundError where nothing is there, RemoteError."""
    system, key = _system(url)
    with _trouble(url):
        try:
            return bool(system.info(key)["type"] == "directory")
        except NotADirectoryError:
            raise FileNotFoundError from None


def list_folder(url: str) -> list[tuple[str, bool]]:
    """What is in a folder, as names and whether they are folders. Raises as :func:`is_folder`."""
    system, key = _system(url)
    with _trouble(url):
        entries = system.ls(key, detail=True)
    found = []
    for entry in entries:
        # Some stores keep an empty object as a sign that a folder exists.
        if entry["name"].rstrip("/") != key.rstrip("/"):
            name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
            found.append((name, entry["type"] == "directory"))
    return found


def open_file(url: str) -> io.RawIOBase:
    """An object to read parts of. It raises RemoteError for trouble while reading, OSError on opening."""
    system, key = _system(url)
    with _trouble(url):
        try:
            return _File(url, system.open(key, "rb"))
        except IsADirectoryError:
            raise FileNotFoundError(errno.ENOENT, "no such file") from None


def ahead(sources: Iterable[Source]) -> Iterator[Source]:
    """The same sources; what is not a file is being read already when it is given out.

    So a network that takes its time is waited for many times at once, while the cores decode what is here.
    No more is read ahead than the caller takes in advance.
    """
    with ThreadPoolExecutor(_READERS, "arcage-read") as pool:
        try:
            for source in sources:
                if source.opener is not None or (is_url(source.path) and not source.error):
                    yield replace(source, opener=pool.submit(source.read).result)
                else:
                    yield source
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _File(io.RawIOBase):
    """Says in arcage's words what goes wrong."""

    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with _trouble(self._url):
            data: bytes = self._file.read(size)
            return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what it calls the object."""
    protocol = url.split("://", 1)[0].lower()
    try:
        import fsspec
    except ImportError:
        raise RemoteError(f"cannot open {url}: this needs fsspec: pip install 'arcage[remote]'") from None
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        # fsspec says which package it is.
        raise RemoteError(f"cannot open {url}: {error}; for s3://: pip install 'arcage[remote]'") from None
    except ValueError:
        raise UsageError(f"cannot open {url}: fsspec knows no {protocol}://") from None
    with _trouble(url):
        # Listings are not kept: there is one for every folder, and each is asked for once.
        options = {"use_listings_cache": False, **kind._get_kwargs_from_urls(url)}
        return fsspec.filesystem(protocol, **options), kind._strip_protocol(url)


def _is_local(system: Any) -> bool:
    return "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)


def _content(system: Any, key: str) -> bytes:
    try:
        # A part that is as long as an object may be: asked for a whole one, s3fs first asks for its size.
        data: bytes = system.cat_file(key, start=0, end=MAX_FILE_BYTES + 1)
    except (*_ABSENT, PermissionError):
        raise
    except Exception:
        # HTTP has no part of an empty object.
        if system.info(key)["size"] != 0:
            raise
        return b""
    return data


@contextmanager
def _trouble(url: str) -> Iterator[None]:
    """What is neither absent nor arcage's own error tells of the network, the service or the credentials."""
    try:
        yield
    except (*_ABSENT, ArcageError):
        raise
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise RemoteError(
            f"cannot read {url}: {words}; check the address, the network and the credentials, and run the "
            "same command again"
        ) from error


def _codes(error: BaseException | None) -> Iterator[str]:
    """The codes that S3 gave, of an error and those that led to it."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield response.get("Error", {}).get("Code", "")
        error = error.__cause__ or error.__context__
