"""Download one zip file over HTTP, and continue a download that broke off.

No other module of arcage downloads models.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from arcage._version import __version__
from arcage.errors import ModelError, UsageError
from arcage.process.pace import Pace, TooSlowError

if TYPE_CHECKING:
    from urllib.error import HTTPError
    from urllib.request import OpenerDirector

TIMEOUT = 30.0
"""Seconds without data after which a download fails."""
HEAD_SECONDS = 60.0
"""Time limit of all responses until the first byte of the file, including redirects, seconds."""
MIN_RATE, PERIOD = 10_000, 30.0
"""Lowest mean rate in each period of a download, bytes a second, and the length of a period, seconds."""
MAX_SECONDS = 7200.0
"""Time limit of one download; the next one continues it."""
MAX_ARCHIVE = 1 << 30
"""Maximum size of a zip file, bytes."""
MAX_REDIRECTS = 5
"""Maximum number of redirects of one download."""
_MAX_HEAD = 1 << 20
"""Maximum size of all responses until the first byte of the file, bytes."""
ZIP_MAGIC = b"PK\x03\x04"
_REDIRECTS = (301, 302, 303, 307, 308)

Progress = Callable[[int, int | None], object]
"""Called with the number of bytes on disk, and the total if the server states it."""

_AGAIN = "run the same command again to continue"
_BY_HAND = (
    "or set ARCAGE_MIRROR to a server that has the file, or download it with a browser and unpack it by hand"
)


def check_encrypted(url: str, sha256: str) -> None:
    """Check that nobody on the network can change what is downloaded.

    Args:
        url: an address; ``http`` is accepted for this machine.
        sha256: of the file, with which ``http`` is accepted for any server; may be empty.

    Raises:
        UsageError: the address is not encrypted.
    """
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and (local or sha256)):
        raise UsageError(
            f"{parts.scheme}://{parts.hostname} is not encrypted: use https, or give the sha256 of the zip "
            "file"
        )


@contextmanager
def partial_file(path: Path) -> Iterator[IO[bytes]]:
    """Open the file of a download. It is locked, kept after an error, and removed if it is empty.

    Raises:
        ModelError: another process downloads into it.
    """
    empty = False
    try:
        with open(path, "a+b") as file:
            with suppress(ImportError):  # Windows: two downloads at once damage the file, which is detected
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ModelError(f"another arcage is downloading {path}: wait for it") from None
            try:
                yield file
            finally:
                empty = not file.seek(0, os.SEEK_END)
    finally:
        if empty:
            path.unlink(missing_ok=True)


class _Meter:
    """Limits the bytes and the time of the responses of one download, from the first to the last byte.

    The timeout of a socket alone does not: a server may send one byte in that time, for ever.
    """

    def __init__(self) -> None:
        self._pace = Pace(0, PERIOD, HEAD_SECONDS)
        self._bytes_left = _MAX_HEAD

    def start_file(self) -> None:
        """Apply the limits of the file, after its first bytes."""
        self._pace = Pace(MIN_RATE, PERIOD, MAX_SECONDS)
        # The lengths of the blocks of a response add to the file.
        self._bytes_left = 2 * MAX_ARCHIVE

    @property
    def timeout(self) -> float:
        """Seconds to wait for the next bytes."""
        return max(0.01, min(TIMEOUT, self._pace.left))

    def add(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise http.client.HTTPException("the server sends without an end")
        self._pace.add(size)


class _MeteredSocket(io.RawIOBase):
    """Reads from a socket within the limits of a meter."""

    def __init__(self, raw: Any, connection: socket.socket, meter: _Meter) -> None:
        self._raw = raw
        self._connection = connection
        self._meter = meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._meter.timeout)
        try:
            size = int(self._raw.readinto(buffer) or 0)
        except TimeoutError:
            self._meter.add(0)  # says so if the limit of the whole transfer was the nearer one
            raise
        self._meter.add(size)
        return size

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def download(url: str, sha256: str, file: IO[bytes], progress: Progress) -> None:
    """Download a zip file, continuing at the end of ``file``.

    Args:
        url: address of the zip file.
        sha256: as for :func:`check_encrypted`, for redirects; it is not compared here.
        file: what was downloaded before, open for appending.
        progress: called after each block.

    Raises:
        UsageError: the server redirects to an address that is not encrypted.
        ModelError: the server does not return the file, or is slower than :data:`MIN_RATE`.
        OSError: the file cannot be written.
    """
    start = file.seek(0, os.SEEK_END)
    meter = _Meter()
    with _network_errors(url):
        response = _open(url, sha256, start, meter)
    if response is None:
        return
    with response:
        start, total = _position(response, url, file, start)
        if total is not None and total > MAX_ARCHIVE:
            raise _too_large(url)
        size = start
        while block := _read(response, url, size):
            if size == start:
                meter.start_file()
            if not size:
                if block != ZIP_MAGIC:
                    raise ModelError(
                        f"{urlsplit(url).netloc} sent something else than a zip file, perhaps a web page: "
                        f"open {url} with a browser; a proxy or a login may be in between"
                    )
                # Only now: a web page must not replace what was downloaded before.
                file.truncate(0)
            file.write(block)
            size += len(block)
            if size > MAX_ARCHIVE:
                file.truncate(0)
                raise _too_large(url)
            progress(size, total)
    if not size:
        raise ModelError(f"{urlsplit(url).netloc} sent nothing; try later, {_BY_HAND}")
    if total is not None and size != total:
        raise ModelError(f"the download broke off after {size:,} of {total:,} bytes; {_AGAIN}")


def _position(
    response: http.client.HTTPResponse, url: str, file: IO[bytes], start: int
) -> tuple[int, int | None]:
    """Return at which byte the response starts, and the size of the file if the server states it."""
    if response.status != 206 or not start:  # the whole file, requested or not
        return 0, _content_length(response)
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d{1,18})", content_range)
    if not match or int(match[1]) != start:
        file.truncate(0)
        raise ModelError(
            f"{urlsplit(url).netloc} sent another part of the file than was requested; what was downloaded "
            "is removed: run the same command again to start over"
        )
    return start, int(match[2])


def _open(url: str, sha256: str, start: int, meter: _Meter) -> http.client.HTTPResponse | None:
    """Request the file from byte ``start`` on, and follow redirects; None if the file ends there."""
    from urllib.error import HTTPError

    opener = _opener(meter)
    place, redirects = url, 0
    while True:
        try:
            return _request(opener, place, start, meter)
        except HTTPError as error:
            error.close()
            if error.code in _REDIRECTS and (target := error.headers.get("Location")):
                redirects += 1
                if redirects > MAX_REDIRECTS:
                    raise _not_provided(url, f"more than {MAX_REDIRECTS} redirects") from None
                place = quote(urljoin(place, target), safe=string.punctuation)
                check_encrypted(place, sha256)
            elif error.code == 416 and start:
                if error.headers.get("Content-Range") == f"bytes */{start}":
                    return None
                # The server's file is shorter than what was downloaded: it is another file.
                place, start = url, 0
            else:
                raise _refused(url, error) from None


def _request(opener: OpenerDirector, url: str, start: int, meter: _Meter) -> http.client.HTTPResponse:
    from urllib.request import Request

    headers = {"User-Agent": f"arcage/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    response: http.client.HTTPResponse = opener.open(Request(url, headers=headers), timeout=meter.timeout)
    return response


def _opener(meter: _Meter) -> OpenerDirector:
    """Return an opener that reads within the limits of a meter, and raises HTTPError for a redirect."""
    from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, build_opener

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self.fp: Any = io.BufferedReader(_MeteredSocket(self.fp.detach(), sock, meter))

    class Connection(http.client.HTTPConnection):
        response_class = Response

    class SecureConnection(http.client.HTTPSConnection):
        response_class = Response

    class Http(HTTPHandler):
        def http_open(self, req: Any) -> Any:
            return self.do_open(Connection, req)

    class Https(HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(SecureConnection, req)

    class Redirects(HTTPRedirectHandler):
        # urllib would read the whole body of a redirect, which may be endless.
        def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> None:
            return None

        http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    return build_opener(Http(), Https(), Redirects())


def _refused(url: str, error: HTTPError) -> ModelError:
    phrase = http.client.responses.get(error.code, "unknown status")
    return _not_provided(url, f"HTTP {error.code}, {phrase}")


def _not_provided(url: str, text: str) -> ModelError:
    return ModelError(f"{urlsplit(url).netloc} does not provide {url}: {text}; try later, {_BY_HAND}")


def _read(response: http.client.HTTPResponse, url: str, size: int) -> bytes:
    with _network_errors(url):
        # The first bytes at once, because they identify the format; then blocks as they arrive.
        return response.read(len(ZIP_MAGIC)) if not size else response.read1(1 << 18)


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Turn errors of the network into a ModelError."""
    from urllib.error import URLError

    host = urlsplit(url).netloc
    try:
        yield
    except TooSlowError as error:
        raise ModelError(
            f"{host} is too slow: {error}; what was downloaded is kept: {_AGAIN}, {_BY_HAND}"
        ) from error
    except TimeoutError as error:
        raise ModelError(
            f"{host} has sent nothing for {TIMEOUT:.0f} s; what was downloaded is kept: {_AGAIN}"
        ) from error
    except http.client.IncompleteRead as error:
        raise ModelError(f"{host} broke off the download; what was downloaded is kept: {_AGAIN}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        # The text may come from the server, and is printed on a terminal.
        text = "".join(c if c.isprintable() else " " for c in str(cause))[:200] or type(cause).__name__
        raise ModelError(
            f"cannot download from {host}: {text}; what was downloaded is kept. Check the connection and the "
            f"proxy (HTTPS_PROXY) and run the same command again, {_BY_HAND}"
        ) from error


def _content_length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _too_large(url: str) -> ModelError:
    return ModelError(f"{url} is larger than {MAX_ARCHIVE:,} bytes, so it is not a model pack")
