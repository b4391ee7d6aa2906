"""Send requests to servers: retries, and a pause for a server that is down."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from arcage.errors import ArcageError, RemoteError
from arcage.sources.failures import (
    ABSENT,
    explain,
    http_status,
    is_http_error,
    is_interrupted,
    is_permanent,
    is_slow_or_refused,
    is_temporary,
    malformed_response,
    retry_after,
)
from arcage.sources.url import is_http, url_server

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each retry after a failure that may be temporary."""
_MAX_RETRY_AFTER = 30.0
"""A request is not repeated if the server asks for a longer pause, seconds."""
_MAX_FAILURES = 3
"""A server is down after this many failed objects in a row."""
_DOWN_SECONDS = 60.0
"""Seconds for which a server that is down gets no requests."""


@dataclass(slots=True)
class _Server:
    """State of a server during a run."""

    failures: int = 0
    """Failed requests since the last response."""
    error: RemoteError | None = None
    """Why the server is down; None if it is not."""
    until: float = 0.0
    """Monotonic time of the next request to a server that is down."""
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
        if down or self.failures >= _MAX_FAILURES:
            self.error, self.until = error, time.monotonic() + _DOWN_SECONDS


_SERVERS: dict[str, _Server] = {}


def forget_failures() -> None:
    """Forget which servers failed, so that the next request to each is sent."""
    _SERVERS.clear()


def send(url: str, request: Callable[[], T]) -> T:
    """Call ``request``, which sends a request to the server of ``url``, with retries.

    Raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: raised by ``request``.
        ImageError: the server does not return this object, but may return others.
        RemoteError: the server is down, or refuses all requests of this user.
    """
    server = _SERVERS.setdefault(url_server(url), _Server())
    for attempt in itertools.count():
        server.check()
        try:
            result = request()
        except RemoteError:
            # Already counted, by a call for the archive of a chained URL.
            raise
        except (*ABSENT, ArcageError):
            server.answered()
            raise
        except Exception as error:
            # The packages for other protocols repeat requests on their own, but not what is read after them.
            pause = _pause(error, attempt) if is_http(url) or is_interrupted(error) else None
            if pause is None:
                failure = explain(url, error, speaks_http=server.speaks_http)
                if isinstance(failure.error, RemoteError):
                    server.failed(failure.error, down=failure.server_down)
                else:
                    server.answered()
                raise failure.error from error
            time.sleep(pause)
        else:
            server.answered()
            return result
    raise AssertionError


def _pause(error: Exception, attempt: int) -> float | None:
    """Return the seconds until the next attempt; None if a retry would not help.

    The error is one of HTTP, or a transfer that broke off.
    """
    status = http_status(error)
    if status is not None:
        retries = len(PAUSES) if is_temporary(status) else 0
    elif not is_http_error(error) or is_permanent(error):
        retries = 0
    else:
        # An unreachable server seldom recovers soon. A broken transfer may succeed the next time. Invalid
        # HTTP may be the rest of an earlier response.
        retries = 1 if is_slow_or_refused(error) or malformed_response(error) else len(PAUSES)
    if attempt >= retries:
        return None
    wanted = retry_after(error)
    if wanted is not None:
        return wanted if wanted <= _MAX_RETRY_AFTER else None
    return PAUSES[attempt] * random.uniform(1, 1.25)
