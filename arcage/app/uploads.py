"""The memory that uploads take, and their speed: a slow upload never keeps others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException

from arcage.app.limits import Limits

_GRACE_SECONDS = 10.0
"""An upload may be slower than the minimum for this long."""
_PATIENCE_SECONDS = 2.0
"""If no memory becomes free in this time, the largest incomplete upload is refused."""
_BUSY = "the server is busy: try again"


class Uploads:
    """The uploads in memory. An upload that would exceed the limit waits until memory is free.

    Args:
        limits: ``uploads_bytes``, ``upload_seconds`` and ``upload_rate``.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size = 0
        self._receiving: set[Upload] = set()
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def open(self, client: str) -> AsyncGenerator[Upload]:
        """Return an upload, whose memory is free after the block.

        Args:
            client: the address that sends it.
        """
        upload = Upload(self, client, self._limits)
        try:
            yield upload
        finally:
            self._size -= upload.size
            self._freed.set()

    async def take(self, upload: Upload, size: int) -> None:
        """Wait until memory is free, and take it."""
        if self._size + size > self._limits.uploads_bytes:
            async with self._turn:
                while self._size + size > self._limits.uploads_bytes:
                    self._freed.clear()
                    try:
                        async with asyncio.timeout(_PATIENCE_SECONDS):
                            await self._freed.wait()
                    except TimeoutError:
                        self._refuse_one()
        self._size += size
        upload.size += size

    def _refuse_one(self) -> None:
        sizes: Counter[str] = Counter()
        for upload in self._receiving:
            sizes[upload.client] += upload.size
        if self._receiving:
            max(self._receiving, key=lambda upload: (sizes[upload.client], upload.size)).refuse()

    def started(self, upload: Upload) -> None:
        """Count an upload among those that may be refused."""
        self._receiving.add(upload)

    def finished(self, upload: Upload) -> None:
        """Keep an upload that is complete."""
        self._receiving.discard(upload)


class Upload:
    """One upload; created by :class:`Uploads`."""

    def __init__(self, uploads: Uploads, client: str, limits: Limits) -> None:
        self.client = client
        self.size = 0
        self._all = uploads
        self._limits = limits
        self._refused = False
        self._timeout: asyncio.Timeout
        self._end = self._slow = 0.0
        """When it has to be complete, and when it is too slow without more data."""

    @asynccontextmanager
    async def receiving(self) -> AsyncGenerator[None]:
        """Limit the time and the speed of the upload inside the block.

        Raises:
            HTTPException: the upload was too slow, or others needed its memory.
        """
        now = asyncio.get_running_loop().time()
        self._end = now + self._limits.upload_seconds
        self._slow = now + _GRACE_SECONDS
        self._all.started(self)
        try:
            async with asyncio.timeout_at(min(self._end, self._slow)) as self._timeout:
                yield
        except TimeoutError:
            raise self._error() from None
        finally:
            self._all.finished(self)

    async def add(self, size: int) -> None:
        """Count bytes that arrived, as soon as memory is free for them."""
        loop = asyncio.get_running_loop()
        self._timeout.reschedule(None)  # not the client's fault
        before = loop.time()
        await self._all.take(self, size)
        waited = loop.time() - before
        self._end += waited
        latest = loop.time() + _GRACE_SECONDS
        self._slow = min(latest, self._slow + waited + size / self._limits.upload_rate)
        self._timeout.reschedule(min(self._end, self._slow))

    def refuse(self) -> None:
        """Refuse the upload while it is received."""
        self._all.finished(self)
        if not self._timeout.expired():
            self._refused = True
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def _error(self) -> HTTPException:
        if self._refused:
            return HTTPException(503, _BUSY, {"Retry-After": "5"})
        if self._end <= self._slow:
            seconds = self._limits.upload_seconds
            return HTTPException(408, f"the upload took longer than {seconds:g} seconds: send less at once")
        return HTTPException(
            408, f"the upload is slower than {self._limits.upload_rate:,} bytes per second: try again"
        )
