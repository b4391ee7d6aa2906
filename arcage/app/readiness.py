"""Whether the server takes requests: not before the networks are loaded, and not while it stops."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOADING_SECONDS, _STOPPING_SECONDS = 2, 10
"""``Retry-After`` of refused requests."""


class Readiness:
    """The state of a server, and the number of its requests."""

    def __init__(self, *, loaded: bool = False) -> None:
        self.loaded = loaded
        self.stopping = False
        self.running = 0
        """Requests in progress."""

    def refusal(self) -> Response | None:
        """Return the answer to a request that cannot be taken, or None."""
        if self.stopping:
            return _busy("the server is stopping: send it again to another one, or later", _STOPPING_SECONDS)
        if not self.loaded:
            return _busy("the networks are being loaded: try again", _LOADING_SECONDS)
        return None

    async def healthz(self, request: Request) -> Response:
        """Return 200 if photos can be sent, and 503 otherwise."""
        return self.refusal() or JSONResponse({"status": "ok"})


class Gate:
    """Counts requests, and refuses photos that cannot be processed."""

    def __init__(self, app: ASGIApp, readiness: Readiness) -> None:
        self._app = app
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        refusal = self._readiness.refusal() if scope["method"] == "POST" else None
        self._readiness.running += 1
        try:
            await (refusal or self._app)(scope, receive, note_start)
        except asyncio.CancelledError:  # at the end of the server
            refusal = self._readiness.refusal()
            if started or refusal is None:
                raise
            await refusal(scope, receive, send)
        finally:
            self._readiness.running -= 1


def _busy(error: str, seconds: int) -> Response:
    return JSONResponse({"error": error}, 503, {"Retry-After": str(seconds)})
