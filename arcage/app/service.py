"""The server as a process: it loads the networks, handles signals, and stops."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from arcage.app.connections import Connection, Connections
from arcage.app.limits import Limits
from arcage.app.readiness import Readiness

_POLL_SECONDS, _LAST_SECONDS = 0.05, 0.3
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Service(uvicorn.Server):
    """Listens at once, so that a health check gets an answer, and loads the networks meanwhile.

    SIGTERM lets requests in progress finish, and refuses new ones; a second signal, SIGINT or SIGHUP ends the
    server without waiting.

    Args:
        app: the application.
        limits: those of connections, and ``stop_seconds``.
        readiness: what the application looks at.
        load: loads the networks, in a thread; None if they are loaded.
        announce: called when photos can be sent.
    """

    def __init__(
        self,
        app: Starlette,
        limits: Limits,
        readiness: Readiness,
        load: Callable[[], object] | None = None,
        announce: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(_config(app, limits))
        self._limits = limits
        self._readiness = readiness
        self._load = load
        self._announce = announce
        self._loading: asyncio.Future[object] | None = None
        self._waits = False
        """Whether requests in progress may finish."""
        self.error: BaseException | None = None
        """Why the server could not start."""
        self.unfinished = 0
        """Requests that had not finished when the server stopped to wait for them."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and load the networks; called by Uvicorn."""
        await super().startup(sockets)
        if self._load is not None:
            # Not the threads of asyncio, which waits for them at its end.
            threads = ThreadPoolExecutor(1, "arcage-load")
            self._loading = asyncio.wrap_future(threads.submit(self._load))
            self._loading.add_done_callback(self._loaded)

    def _loaded(self, loading: asyncio.Future[object]) -> None:
        if loading.cancelled():
            return
        try:
            loading.result()
            self._readiness.loaded = True
            self._announce()
        except BaseException as error:  # raised where the server was started
            self.error = error
            self.should_exit = True

    async def main_loop(self) -> None:
        """Serve until a signal, and wait for the requests in progress; called by Uvicorn."""
        await super().main_loop()
        self._readiness.stopping = True
        end = asyncio.get_running_loop().time() + self._limits.stop_seconds
        while self._waits and self._readiness.running and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_POLL_SECONDS)
        self.unfinished = self._readiness.running if self._waits else 0
        if self.unfinished:
            self.config.timeout_graceful_shutdown = 0  # they have had their time

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end the requests that are left with an answer; called by Uvicorn."""
        await super().shutdown(sockets)
        end = asyncio.get_running_loop().time() + _LAST_SECONDS
        # Uvicorn has cancelled their tasks. A client that reads its answer closes the connection.
        while self.server_state.connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_POLL_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal; called by Python."""
        self._waits = sig == signal.SIGTERM and not self.should_exit
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP too, and keep ignored signals ignored, such as SIGINT in a background job of a shell
        script; called by Uvicorn."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        with super().capture_signals():
            for number, handler in before.items():
                signal.signal(number, handler if handler == signal.SIG_IGN else self.handle_exit)
            try:
                yield
            finally:  # Uvicorn raises a signal that it handled again
                for number, handler in before.items():
                    signal.signal(number, handler)


def _config(app: Starlette, limits: Limits) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=partial(Connection, connections=Connections(limits)),  # type: ignore[arg-type]
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        backlog=max(8, limits.connections // 4),  # accepted at once, before others are closed
        timeout_graceful_shutdown=1,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_error)
    return config


def _is_error(record: logging.LogRecord) -> bool:
    """Return whether this is an error, and not a request that was ended by a limit or by the shutdown."""
    error: Any = record.exc_info[1] if record.exc_info else None
    message = record.getMessage()
    expected = "graceful shutdown" in message or "without completing response" in message
    return not isinstance(error, asyncio.CancelledError) and not expected
