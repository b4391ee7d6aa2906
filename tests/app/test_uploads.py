"""The memory and the speed of uploads."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette")
from starlette.exceptions import HTTPException

from arcage.app import uploads
from arcage.app.limits import Limits
from arcage.app.uploads import Upload, Uploads


async def _send(upload: Upload, sizes: list[int], pause: float = 0.0) -> None:
    async with upload.receiving():
        for size in sizes:
            await upload.add(size)
            await asyncio.sleep(pause)


def test_an_upload_waits_until_memory_is_free() -> None:
    async def run() -> None:
        limited = Uploads(Limits(uploads_bytes=100))
        async with limited.open("a") as first:
            await _send(first, [60, 40])
            async with limited.open("a") as second:
                waits = asyncio.create_task(_send(second, [10, 80]))
                await asyncio.sleep(0.05)
                assert (first.size, second.size) == (100, 0)
                await limited.open("b").__aenter__()  # an empty one takes nothing
                first.size, taken = 50, first.size  # as if half of it were free
                limited._size -= taken - 50
                limited._freed.set()
                await asyncio.sleep(0.05)
                assert second.size == 10
                waits.cancel()

    asyncio.run(run())


def test_the_largest_upload_is_refused_if_memory_does_not_become_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "_PATIENCE_SECONDS", 0.1)

    async def run() -> None:
        limited = Uploads(Limits(uploads_bytes=1000))

        async def ask(client: str, sizes: list[int], pause: float) -> None:
            async with limited.open(client) as upload:
                await _send(upload, sizes, pause)

        large = asyncio.create_task(ask("a", [500, 1], 60))
        small = asyncio.create_task(ask("a", [300, 1], 60))
        await asyncio.sleep(0.01)
        # The client with the most bytes pays, and of its uploads the largest.
        async with asyncio.timeout(5):
            await ask("b", [400], 0)
        with pytest.raises(HTTPException) as error:
            await large
        assert (error.value.status_code, error.value.headers) == (503, {"Retry-After": "5"})
        assert not small.done()
        small.cancel()

    asyncio.run(run())


def test_an_upload_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_GRACE_SECONDS", 0.2)

    async def run(rate: int) -> None:
        async with Uploads(Limits(upload_rate=rate)).open("a") as upload:
            await _send(upload, [1000] * 10, 0.05)

    asyncio.run(run(10_000))
    with pytest.raises(HTTPException, match="slower than 100,000 bytes per second"):
        asyncio.run(run(100_000))
    with pytest.raises(HTTPException, match="slower"):  # a large first part does not buy a long pause
        asyncio.run(_stalls())


async def _stalls() -> None:
    async with Uploads(Limits(upload_rate=10)).open("a") as upload:
        await _send(upload, [1_000_000], 5)
