"""Convert errors of fsspec, aiohttp, S3 and archives to arcage's errors."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from arcage.errors import ArcageError, ImageError, RemoteError
from arcage.sources.url import is_http, url_links, url_scheme

ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""Errors for an object that does not exist."""

_CREDENTIAL_CODES = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "AccountProblem",
    "InvalidSecurity",
}
"""Error codes of S3 for invalid credentials, as opposed to an object that the user may not read."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request."""

    error: ArcageError
    """ImageError if only this object is affected, RemoteError if the server or the credentials are."""
    server_down: bool = False
    """Whether further requests to the server would fail as well."""


def explain(url: str, error: Exception, *, speaks_http: bool) -> Failure:
    """Return what an error of a request means.

    Args:
        url: URL of the object.
        error: error of fsspec or a library below it.
        speaks_http: whether the server has sent valid HTTP before.
    """
    if http_status(error) is not None:
        return Failure(_explain_status(url, error))
    if isinstance(error, archive_errors(url)):
        return Failure(ImageError(f"cannot be read from the archive: {error_text(error)}"))
    if "InvalidRange" in _s3_codes(error):
        return Failure(ImageError("the object is smaller than the server said"))
    if not is_http_error(error):
        return Failure(unreachable(url, error_text(error)), server_down=True)
    if (malformed := malformed_response(error)) is not None:
        first = [*malformed.message.strip().splitlines(), ""][0]
        text = f"the response is not valid HTTP: {_printable(first).rstrip(':')}"
        return Failure(ImageError(text) if speaks_http else unreachable(url, text))
    if isinstance(error, TimeoutError):
        return Failure(unreachable(url, "the server did not respond in time"))
    aiohttp = _aiohttp()
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failure(ImageError("the transfer was interrupted"))
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return Failure(ImageError("not a valid URL, or a redirect to one"))
    host = getattr(error, "host", None)
    if host is None:
        return Failure(unreachable(url, "the server closed the connection"))
    cause = _connection_error_text(error)
    if is_http(url) and host != urlsplit(url).hostname:
        return Failure(ImageError(f"redirects to {host}, which cannot be reached: {cause}"))
    return Failure(unreachable(url, f"cannot connect to {host}: {cause}"), server_down=True)


def _explain_status(url: str, error: Exception) -> ArcageError:
    if isinstance(error, _aiohttp().TooManyRedirects):
        return ImageError("too many redirects")
    status = http_status(error) or 0
    text = f"HTTP {status} {_printable(getattr(error, 'message', ''))}".strip()
    if (seconds := retry_after(error)) is not None and is_temporary(status):
        text += f", retry after {seconds:,.0f} s"
    if is_temporary(status) or status >= 500 or status in (401, 407):
        return unreachable(url, text)
    return ImageError(text)


def _connection_error_text(error: Exception) -> str:
    system_error = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    text = error_text(system_error)
    if isinstance(system_error, OSError) and not _is_tls_error(error):
        # For a failed connection, asyncio reports only the address; DNS errors have negative numbers.
        number = system_error.errno or 0
        return os.strerror(number) if number > 0 else system_error.strerror or text
    return text


def unreachable(url: str, reason: str) -> RemoteError:
    """Return the error for a server that cannot be reached, or that refuses all requests of the user."""
    return RemoteError(
        f"cannot read {url}: {reason}; check the address, the network and the credentials, and run the same "
        "command again",
        reason,
    )


def archive_errors(url: str) -> tuple[type[Exception], ...]:
    """Return the exception types for a damaged, encrypted or unsupported archive; empty for other URLs."""
    if not {"zip", "tar"} & {url_scheme(link) for link in url_links(url)[:-1]}:
        return ()
    import lzma
    import struct
    import tarfile
    import zipfile
    import zlib

    errors = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error)
    # zipfile raises RuntimeError for an encrypted file or a missing decompressor.
    return (*errors, EOFError, RuntimeError)


def has_invalid_credentials(error: BaseException) -> bool:
    """Return whether S3 refused the credentials, not only the access to one object."""
    return not _CREDENTIAL_CODES.isdisjoint(_s3_codes(error))


def is_http_error(error: Exception) -> bool:
    """Return whether an error comes from aiohttp, or is a timeout."""
    # fsspec raises its own TimeoutError for its own time limit.
    return "aiohttp" in sys.modules and (
        isinstance(error, (_aiohttp().ClientError, TimeoutError)) or malformed_response(error) is not None
    )


def malformed_response(error: Exception) -> Any:
    """Return aiohttp's parse error for a response that is not valid HTTP, which it reports as status 400."""
    if "aiohttp" not in sys.modules:
        return None
    cause = error.__cause__ if isinstance(error, _aiohttp().ClientResponseError) else error
    return cause if isinstance(cause, _aiohttp().http.HttpProcessingError) else None


def is_permanent(error: Exception) -> bool:
    """Return whether an error without an HTTP status, such as an invalid certificate, will occur again."""
    aiohttp = _aiohttp()
    return _is_tls_error(error) or isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError))


def is_interrupted(error: Exception) -> bool:
    """Return whether a transfer broke off."""
    return "aiohttp" in sys.modules and isinstance(error, _aiohttp().ClientPayloadError)


def is_slow_or_refused(error: Exception) -> bool:
    """Return whether a server did not answer in time or did not accept the connection."""
    return isinstance(error, (TimeoutError, _aiohttp().ClientConnectorError))


def http_status(error: Exception) -> int | None:
    """Return the status of an HTTP response that is not a success; None for other errors."""
    if "aiohttp" not in sys.modules or not isinstance(error, _aiohttp().ClientResponseError):
        return None
    return int(error.status) if malformed_response(error) is None else None


def is_temporary(status: int) -> bool:
    """Return whether the request may succeed later."""
    return status in (408, 425, 429) or (status >= 500 and status not in (501, 505))


def retry_after(error: Exception) -> float | None:
    """Return the seconds in the ``Retry-After`` header of a response; None if there is none."""
    value = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    if value.strip().isdecimal():
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):  # also for a date that the system cannot represent
        return None


def error_text(error: BaseException) -> str:
    """Return the message of an error on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _aiohttp() -> Any:
    # Only loaded for URLs that need it.
    import aiohttp

    return aiohttp


def _is_tls_error(error: Exception) -> bool:
    return isinstance(error, (_aiohttp().ClientSSLError, _aiohttp().ServerFingerprintMismatch))


def _printable(text: str) -> str:
    """Shorten a server's message, and remove control characters that a terminal would act on."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:100])


def _s3_codes(error: BaseException | None) -> Iterator[str]:
    """Yield the S3 error codes of an error and its causes."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield response.get("Error", {}).get("Code", "")
        error = error.__cause__ or error.__context__
