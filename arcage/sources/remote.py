"""Images at URLs (``s3://bucket/folder``, ``gs://``, ``https://``, ...), read with fsspec."""

from __future__ import annotations

import asyncio
import errno
import io
import itertools
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from arcage.errors import ArcageError, ImageError, RemoteError, UsageError
from arcage.files import MAX_FILE_BYTES, read_bytes
from arcage.sources.url import WRAPPERS, is_http, url_links, url_scheme, url_server

T = TypeVar("T")

CONNECT_SECONDS, SILENT_SECONDS, WHOLE_SECONDS = 10, 20, 300
"""Time limits of an HTTP server, seconds: to connect, to send anything, and to send one object."""
OTHER_SECONDS = 120
"""Time limit of a request to another server, seconds, including the retries of its package."""
PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each retry after a failure that may be temporary."""
_LONGEST_PAUSE = 30.0
"""Maximum ``Retry-After`` that is waited for, seconds."""
_FAILURES = 3
"""A server is down after this many failed objects in a row."""
_DOWN_SECONDS = 60.0
"""Seconds for which a server that is down gets no requests."""
_DEEPEST = 40
"""Maximum depth of folders on an HTTP server: some return the same page for every address."""

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
    try:
        system, key = _system(url)
        if _is_local(system):
            return read_bytes(key)
        data = _ask(url, lambda: _content(system, key, url))
    except _ABSENT:
        raise ImageError("no such file") from None
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"too large: the limit is {MAX_FILE_BYTES:,} bytes")
    if is_http(url) and re.match(rb"\s*<(!doctype html|html)", data[:200], re.IGNORECASE):
        raise ImageError("a web page, not an image; an index page of images is a folder: end its URL in /")
    return data


def is_folder(url: str) -> bool:
    """Whether this is a folder. Raises FileNotFoundError if nothing is there, ImageError, RemoteError."""
    if is_http(url):
        return re.fullmatch(r"https?://[^/?#]*(/([^?#]*/)?)?", url, re.IGNORECASE) is not None
    system, key = _system(url)
    try:
        return _ask(url, lambda: bool(system.info(key, **_limit(system, url))["type"] == "directory"))
    except NotADirectoryError:
        raise FileNotFoundError from None


def list_folder(url: str) -> list[tuple[str, bool]]:
    """What is in a folder, as names and whether they are folders. Raises as :func:`is_folder`."""
    system, key = _system(url)
    if is_http(url):
        key = key.rstrip("/") + "/"
        if key.count("/") > _DEEPEST:
            raise OSError(errno.ELOOP, "too many folders inside folders")
    entries = _ask(url, lambda: system.ls(key, detail=True, **_limit(system, url)))
    found = []
    for entry in entries:
        # Some stores keep an empty object as a marker of a folder; an index page has other links too.
        folder, _, name = entry["name"].rstrip("/").rpartition("/")
        if entry["name"].rstrip("/") != key.rstrip("/") and (not is_http(url) or folder == key.rstrip("/")):
            found.append((name, entry["type"] == "directory"))
    return found


def open_file(url: str) -> io.IOBase:
    """An object to read parts of. It raises RemoteError for trouble while reading, OSError on opening."""
    system, key = _system(url)
    try:
        if is_http(url):
            # If the size is requested, fsspec reports every failure as a missing file.
            data = _ask(url, lambda: _http_content(system, key, 1, MAX_FILE_BYTES + 1))
            if len(data) > MAX_FILE_BYTES:
                raise ImageError("too large for a server without support for ranges: download it first")
            if len(data) > 1:  # the server ignores ranges
                return io.BytesIO(data)
        return _File(url, _ask(url, lambda: system.open(key, "rb")))
    except IsADirectoryError:
        raise FileNotFoundError(errno.ENOENT, "no such file") from None


def check_scheme(url: str) -> None:
    """Raise UsageError for an unknown scheme, RemoteError if the package for it is missing."""
    for link in url_links(url):
        _kind(link, url)


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
        start = self._file.tell()

        def part() -> bytes:
            self._file.seek(start)
            data: bytes = self._file.read(size)
            return data

        return _ask(self._url, part)

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
    links = [re.sub(r"^[^:/]+(?=://|$)", lambda match: match[0].lower(), link) for link in url_links(url)]
    kinds = [_kind(link, url) for link in links]
    if is_http(url):
        _check_address(url)
    import fsspec

    try:
        if len(links) > 1:
            system, key = fsspec.core.url_to_fs("::".join(links))
            return system, key
        # Listings are not cached: each folder is listed once.
        options = {"use_listings_cache": False, **kinds[0]._get_kwargs_from_urls(links[0])}
        if is_http(url):
            options |= _http_options(kinds[0], links[0])
        return fsspec.filesystem(url_scheme(links[0]), **options), kinds[0]._strip_protocol(links[0])
    except _ABSENT as error:
        _check_base(url)
        if isinstance(error, IsADirectoryError):
            raise UsageError(f"cannot open {url}: {url_links(url)[-1]} is a folder") from None
        raise
    except ArcageError:
        raise
    except _damages(url) as error:
        raise ImageError(f"the archive cannot be read: {_words(error)}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"cannot open {url}: {_words(error)}") from error
    except Exception as error:
        raise _unreachable(url, _words(error)) from error


def _check_base(url: str) -> None:
    """Raise the error of an HTTP server for the file that a chained URL opens.

    fsspec reports every failure as a missing file.
    """
    base = url_links(url)[-1]
    if base != url and is_http(base):
        system, key = _system(base)
        _ask(base, lambda: _http_content(system, key, 1, 1))


def _kind(link: str, url: str) -> Any:
    """Return the fsspec class for one link of a URL; None for a local path."""
    scheme = url_scheme(link)
    if "://" not in link and scheme not in WRAPPERS:
        return None
    try:
        import fsspec
    except ImportError:
        raise RemoteError(f"cannot open {url}: this needs fsspec: pip install 'arcage[remote]'") from None
    if scheme in WRAPPERS and link == url_links(url)[-1]:
        raise UsageError(
            f"cannot open {url}: say which file {scheme}:// opens, as in {scheme}://photo.jpg::photos.{scheme}"
        )
    try:
        return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        # fsspec says which package it is.
        raise RemoteError(
            f"cannot open {url}: {error}; for s3:// and https://: pip install 'arcage[remote]'"
        ) from None
    except ValueError:
        raise UsageError(f"cannot open {url}: fsspec knows no {scheme}://") from None


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ImageError("not a valid URL")


def _http_options(kind: Any, url: str) -> dict[str, Any]:
    import aiohttp
    from fsspec.config import apply_config

    timeout = aiohttp.ClientTimeout(
        total=WHOLE_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
    )
    # Quoting twice would break the signature of a signed URL.
    encoded = re.fullmatch(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+", url) is not None
    return {
        "encoded": encoded,
        "client_kwargs": {"timeout": timeout, **apply_config(kind, {}).get("client_kwargs", {})},
    }


def _is_local(system: Any) -> bool:
    return "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)


def _limit(system: Any, url: str) -> dict[str, float]:
    # Without it, s3fs and botocore wait many minutes for a server that does not respond.
    alone = getattr(system, "async_impl", False) and len(url_links(url)) == 1
    return {"timeout": OTHER_SECONDS} if alone and not is_http(url) else {}


def _content(system: Any, key: str, url: str) -> bytes:
    limit = _limit(system, url)
    try:
        if is_http(url):
            return _http_content(system, key, MAX_FILE_BYTES + 1, MAX_FILE_BYTES + 1)
        # A part that is as long as an object may be: asked for a whole one, s3fs first asks for its size.
        data: bytes = system.cat_file(key, start=0, end=MAX_FILE_BYTES + 1, **limit)
    except PermissionError as error:
        if _STRANGER & set(_codes(error)):
            raise
        raise ImageError("Permission denied") from None
    except _ABSENT:
        raise
    except Exception as error:
        # HTTP has no part of an empty object.
        if _status(error) == 416:
            return b""
        if _is_http_error(error) or system.info(key, **limit)["size"] != 0:
            raise
        return b""
    return data


def _http_content(system: Any, key: str, part: int, most: int) -> bytes:
    """The first ``part`` bytes from an HTTP server; up to ``most`` bytes where it gives no parts.

    fsspec would read all that the server sends, which may have no end, whatever its status.
    """
    from fsspec.asyn import sync

    async def get() -> bytes:
        session = await system.set_session()
        options = dict(system.kwargs)
        headers = {**(options.pop("headers", None) or {}), "Range": f"bytes=0-{part - 1}"}
        async with session.get(system.encode_url(key), headers=headers, **options) as answer:
            system._raise_not_found_for_status(answer, key)
            if answer.status not in (200, 203, 206):
                raise _aiohttp().ClientResponseError(
                    answer.request_info, answer.history, status=answer.status, message=answer.reason or ""
                )
            chunks, size = [], 0
            while size < most:
                # aiohttp's own time limit ends with an answer that it cannot parse.
                async with asyncio.timeout(SILENT_SECONDS):
                    chunk = await answer.content.readany()
                if not chunk:
                    break
                chunks.append(chunk)
                size += len(chunk)
            if answer.status == 206 and "Content-Encoding" not in answer.headers:
                _check_range(answer.headers.get("Content-Range", ""), size, part)
            return b"".join(chunks)

    data: bytes = sync(system.loop, get)
    return data


def _check_range(given: str, size: int, part: int) -> None:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", given.strip())
    if match is None:
        return
    if int(match[1]) or (match[2] != "*" and size < min(part, int(match[2]))):
        raise ImageError(f"the server gave only a part of the file ({given})")


# Servers


@dataclass(slots=True)
class _Server:
    """State of a server during a run."""

    failures: int = 0
    """Failed requests since the last response."""
    error: RemoteError | None = None
    """Why it is down."""
    until: float = 0.0
    """Monotonic time of the next request."""
    speaks_http: bool = False
    """Whether any response was valid HTTP."""

    def check(self) -> None:
        if self.error is not None and time.monotonic() < self.until:
            raise self.error

    def answered(self) -> None:
        self.failures = 0
        self.error = None
        self.speaks_http = True

    def failed(self, error: RemoteError, *, down: bool) -> None:
        self.failures += 1
        if down or self.failures >= _FAILURES:
            self.error, self.until = error, time.monotonic() + _DOWN_SECONDS


_SERVERS: dict[str, _Server] = {}


def forget_failures() -> None:
    """Forget which servers failed, so that the next request to each is sent."""
    _SERVERS.clear()


def _ask(url: str, request: Callable[[], T]) -> T:
    """Send a request to a server, with retries after failures that may be temporary.

    Raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: passed on.
        ImageError: the server responds, but not with this object.
        RemoteError: the server is down, or refuses all requests of this user.
    """
    server = _SERVERS.setdefault(url_server(url), _Server())
    for attempt in itertools.count():
        server.check()
        try:
            answer = request()
        except (*_ABSENT, ArcageError) as error:
            if not isinstance(error, ArcageError):
                _check_base(url)
            server.answered()
            raise
        except Exception as error:
            pause = _pause(error, attempt) if is_http(url) else None
            if pause is None:
                meaning, down = _meaning(url, error)
                if isinstance(meaning, RemoteError):
                    server.failed(meaning, down=down)
                else:
                    server.answered()
                raise meaning from error
            time.sleep(pause)
        else:
            server.answered()
            return answer
    raise AssertionError


def _pause(error: Exception, attempt: int) -> float | None:
    """Seconds until the next attempt; None if a retry would not help.

    Only for HTTP: the packages for other servers repeat their requests themselves.
    """
    status = _status(error)
    if status is not None:
        most = len(PAUSES) if _may_pass(status) else 0
    elif not _is_http_error(error) or _is_lasting(error):
        most = 0
    else:
        # An unreachable server seldom recovers soon. A broken transfer may succeed the next time. Invalid
        # HTTP may be the rest of an earlier response.
        soon = isinstance(error, (TimeoutError, _aiohttp().ClientConnectorError)) or _malformed(error)
        most = 1 if soon else len(PAUSES)
    if attempt >= most:
        return None
    wanted = _retry_after(error)
    if wanted is not None:
        return wanted if wanted <= _LONGEST_PAUSE else None
    return PAUSES[attempt] * random.uniform(1, 1.25)


def _meaning(url: str, error: Exception) -> tuple[ArcageError, bool]:
    """Convert an error of fsspec or a library below it, and return whether the server is down."""
    status = _status(error)
    if status is not None:
        if isinstance(error, _aiohttp().TooManyRedirects):
            return ImageError("too many redirects"), False
        words = f"HTTP {status} {_clean(getattr(error, 'message', ''))}".strip()
        if (wanted := _retry_after(error)) is not None and _may_pass(status):
            words += f", retry after {wanted:,.0f} s"
        if _may_pass(status) or status >= 500 or status in (401, 407):
            return _unreachable(url, words), False
        return ImageError(words), False
    if isinstance(error, _damages(url)):
        return ImageError(f"cannot be read from the archive: {_words(error)}"), False
    if not _is_http_error(error):
        return _unreachable(url, _words(error)), True
    if (malformed := _malformed(error)) is not None:
        first = [*malformed.message.strip().splitlines(), ""][0]
        words = f"the answer is not valid HTTP: {_clean(first).rstrip(':')}"
        if not _SERVERS[url_server(url)].speaks_http:
            return _unreachable(url, words), False
        return ImageError(words), False
    if isinstance(error, TimeoutError):
        return _unreachable(url, "the server does not answer in time"), False
    if isinstance(error, _aiohttp().ClientPayloadError):
        return ImageError("the transfer broke off"), False
    if isinstance(error, (_aiohttp().InvalidURL, _aiohttp().NonHttpUrlClientError)):
        return ImageError("not a valid URL, or a redirect to one"), False
    host = getattr(error, "host", None)
    if host is None:
        return _unreachable(url, "the server closed the connection"), False
    system_error = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    why = _words(system_error)
    if isinstance(system_error, OSError) and not _is_tls_error(error):
        # For a failed connection, asyncio reports only the address; DNS errors have negative numbers.
        number = system_error.errno or 0
        why = os.strerror(number) if number > 0 else system_error.strerror or why
    if is_http(url) and host != urlsplit(url).hostname:
        return ImageError(f"redirects to {host}, which cannot be reached: {why}"), False
    return _unreachable(url, f"cannot connect to {host}: {why}"), True


def _damages(url: str) -> tuple[type[Exception], ...]:
    """What is raised where an archive or a file in it is damaged, encrypted or compressed in another way."""
    if not {"zip", "tar"} & {url_scheme(link) for link in url_links(url)[:-1]}:
        return ()
    import lzma
    import struct
    import tarfile
    import zipfile
    import zlib

    errors = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error)
    # zipfile says by a RuntimeError that a file is encrypted or that it lacks a decompressor.
    return (*errors, EOFError, RuntimeError)


def _aiohttp() -> Any:
    import aiohttp

    return aiohttp


def _is_http_error(error: Exception) -> bool:
    # fsspec raises its own TimeoutError for its own time limit.
    return "aiohttp" in sys.modules and (
        isinstance(error, (_aiohttp().ClientError, TimeoutError)) or _malformed(error) is not None
    )


def _malformed(error: Exception) -> Any:
    """Return aiohttp's parse error for a response that is not valid HTTP, which it reports as status 400."""
    if "aiohttp" not in sys.modules:
        return None
    cause = error.__cause__ if isinstance(error, _aiohttp().ClientResponseError) else error
    return cause if isinstance(cause, _aiohttp().http.HttpProcessingError) else None


def _is_lasting(error: Exception) -> bool:
    return _is_tls_error(error) or isinstance(
        error, (_aiohttp().InvalidURL, _aiohttp().NonHttpUrlClientError)
    )


def _is_tls_error(error: Exception) -> bool:
    return isinstance(error, (_aiohttp().ClientSSLError, _aiohttp().ServerFingerprintMismatch))


def _status(error: Exception) -> int | None:
    """Return the status of an HTTP response that is not a success."""
    if "aiohttp" not in sys.modules or not isinstance(error, _aiohttp().ClientResponseError):
        return None
    return int(error.status) if _malformed(error) is None else None


def _may_pass(status: int) -> bool:
    return status in (408, 425, 429) or (status >= 500 and status not in (501, 505))


def _retry_after(error: Exception) -> float | None:
    value = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    if value.strip().isdecimal():
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())


def _unreachable(url: str, reason: str) -> RemoteError:
    return RemoteError(
        f"cannot read {url}: {reason}; check the address, the network and the credentials, and run the same "
        "command again",
        reason,
    )


def _clean(text: str) -> str:
    """What a server said, fit to be shown on a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:100])


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _codes(error: BaseException | None) -> Iterator[str]:
    """The codes that S3 gave, of an error and those that led to it."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield response.get("Error", {}).get("Code", "")
        error = error.__cause__ or error.__context__
