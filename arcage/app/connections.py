"""The connections of the server: those that are slow or idle are closed, so that others are served.

Uvicorn has no time limit for the headers of a request or for a client that does not read the answer, and its
limit of connections counts those that never send a request.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from arcage.app.clients import network
from arcage.app.guard import HEADERS
from arcage.app.limits import Limits

_LINGER_SECONDS = 2
"""How long a closed connection discards what its client still sends. Without this, the kernel would tell the
client that the connection is broken, and the client would not see the answer."""
_PATIENCE_SECONDS, _READ_BYTES = 10, 50_000
"""In this time, a client has to read so much of its answer."""
_YOUNG_SECONDS = 1
"""A younger connection is not closed in favour of another if there is an older one."""
_HEAD_START = 1 << 20
"""Bytes added to every upload, so that a new one is not the slowest."""
_SLICE = 1 << 14
"""Bytes that are parsed before the headers of a request are checked."""
_CHUNKS, _CHUNK_BYTES = 1000, 64
"""A body in more chunks has to have this many bytes in each, because parsing a chunk takes long."""
_REASONS = {400: "Bad Request", 408: "Request Timeout"}


class _Stage(IntEnum):
    """What a connection is doing. The first ones are the first to be closed."""

    CLOSED = 0
    HEADERS = 1
    """Waiting for a request, or for the rest of its headers."""
    SLOW = 2
    """Receiving a body, or waiting for the client to read."""
    BUSY = 3
    """The server has everything that it needs, or the connection is young."""


class Connections:
    """All connections of a server.

    If there are too many, one of the client with the most connections is closed: the oldest that did not send
    its headers, else the one with the slowest upload.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: set[Connection] = set()
        self._clients: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """Register a new connection, and close another one if there are too many."""
        self._open.add(connection)
        self._clients[connection.host] += 1
        if self._timer is None:
            self._schedule()
        if len(self._open) > self.limits.connections:
            now = asyncio.get_running_loop().time()
            self.drop(min(self._open, key=lambda other: self._order(other, now)))

    def drop(self, connection: Connection) -> None:
        """End a connection at once."""
        self.remove(connection)
        connection.transport.abort()

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection in self._open:
            self._open.remove(connection)
            self._clients[connection.host] -= 1
            if not self._clients[connection.host]:
                del self._clients[connection.host]

    def _order(self, connection: Connection, now: float) -> tuple[float, ...]:
        stage = connection.stage(now)
        return -self._clients[connection.host], stage, connection.order(stage, now)

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(1, self.limits.header_seconds / 4), self._check)

    def _check(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            connection.check(now)
        self._timer = None
        if self._open:
            self._schedule()


class Connection(H11Protocol):
    """A connection with time limits."""

    def __init__(self, *arguments: Any, connections: Connections, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._all = connections
        self.host = ""
        self._since = self._made = self.loop.time()
        """When it started to wait for a request or was closed, and when it was made."""
        self._received = self._lines = 0
        """Bytes and line ends since then."""
        self._progress, self._read = self._made, 0
        """When the client last read enough, and all that it had read then, bytes."""

    transport: _Lingering

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection."""
        super().connection_made(_Lingering(transport, self._restart))
        self.host = network(self.client[0]) if self.client else ""
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._all.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data, if the client may still send something."""
        if self._is_waiting():
            self._receive(data[:_SLICE])
            data = data[_SLICE:]
        size = _SLICE if self._is_chunked() else len(data)
        for start in range(0, len(data), size or 1):
            self._receive(data[start : start + size])

    def _receive(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._received += len(data)
        self._lines += data.count(b"\r\n")
        super().data_received(data)
        if self._is_chunked() and self._lines > _CHUNKS + self._received / _CHUNK_BYTES:
            self._refuse(400, "the chunks of the body are too small: send at least 100 bytes in each")

    def on_response_complete(self) -> None:
        """Wait for the next request, or close the connection if the rest of this one is not wanted."""
        if self.cycle.more_body:
            self.server_state.total_requests += 1
            self.transport.close()
        else:
            self._restart()
            super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; called by Uvicorn."""
        self._refuse(400, "this is not a valid request of HTTP/1.1, or its headers are too large")

    def shutdown(self) -> None:
        """Close the connection, or let it finish its request; called by Uvicorn."""
        if self._is_waiting():
            self.transport.close()
        else:
            super().shutdown()

    def stage(self, now: float) -> _Stage:
        """Return what the connection is doing."""
        if self.transport.is_closing():
            return _Stage.CLOSED
        if now - self._made < _YOUNG_SECONDS:
            return _Stage.BUSY
        if self._is_waiting():
            return _Stage.HEADERS
        stalled = self.flow.write_paused and now - self._progress > _YOUNG_SECONDS
        return _Stage.SLOW if stalled or self.cycle.more_body else _Stage.BUSY

    def order(self, stage: _Stage, now: float) -> float:
        """Return which connection of a stage is closed first: the one with the lowest number."""
        if stage is not _Stage.SLOW:
            return self._since
        return 0 if self.flow.write_paused else (self._received + _HEAD_START) / (now - self._since + 1)

    def check(self, now: float) -> None:
        """Close the connection if its client is too slow."""
        unread = self.transport.get_write_buffer_size()
        read = self.transport.written - unread
        if not unread or read >= self._read + _READ_BYTES:
            self._progress, self._read = now, read
        waited = now - self._since
        if now - self._progress > _PATIENCE_SECONDS:
            self._all.drop(self)
        elif self.transport.is_closing():
            self.transport.end()
            if waited > _LINGER_SECONDS and not unread:
                self._all.drop(self)
        elif self._is_waiting() and waited > self._all.limits.header_seconds:
            if self._received:
                self._refuse(408, f"no complete request within {self._all.limits.header_seconds:g} seconds")
            else:
                self.transport.close()

    def _is_waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _is_chunked(self) -> bool:
        if self._is_waiting() or not self.cycle.more_body:
            return False
        return any(name == b"transfer-encoding" for name, _ in self.headers)

    def _restart(self) -> None:
        self._since, self._received, self._lines = self.loop.time(), 0, 0

    def _refuse(self, status: int, error: str) -> None:
        """Answer without the application, and close the connection."""
        if self.transport.is_closing():
            return
        if self._is_waiting() or not self.cycle.response_started:
            self.transport.write(_response(status, error))
        if not self._is_waiting():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


class _Lingering(asyncio.Transport):
    """A transport that is closed in steps: it sends what is left and the end of the answer, and discards what
    still arrives, until the client closes it or :class:`Connections` drops it."""

    def __init__(self, transport: asyncio.Transport, closed: Callable[[], object]) -> None:
        super().__init__()
        self._transport = transport
        self._closed = closed
        self._closing = False
        self.written = 0

    def close(self) -> None:
        if not self.is_closing():
            self._closing = True
            self._closed()
            self._transport.resume_reading()
            self.end()

    def end(self) -> None:
        """Send the end of the answer, if everything else is sent."""
        if not self._transport.is_closing() and not self.get_write_buffer_size():
            try:
                self._transport.write_eof()
            except OSError:  # the client has reset the connection
                self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closing():
            self.written += len(data)
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()


def _response(status: int, error: str) -> bytes:
    body = json.dumps({"error": error}).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **HEADERS,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{lines}\r\n".encode() + body
