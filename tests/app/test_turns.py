"""The order in which jobs of several clients run."""

from __future__ import annotations

import asyncio

import pytest

from arcage.app.turns import Turns


def test_clients_with_one_job_do_not_wait_for_those_with_many() -> None:
    async def run() -> str:
        turns, order = Turns(1, 100), []

        async def job(client: str) -> None:
            await turns.acquire(client)
            order.append(client)
            await asyncio.sleep(0)
            turns.release(client)

        await asyncio.gather(*map(job, "aaaaabbc"))
        return "".join(order)

    assert asyncio.run(run()) == "abcabaaa"


def test_if_too_many_wait_the_client_with_the_most_is_refused() -> None:
    async def run() -> None:
        turns = Turns(1, 3)
        await turns.acquire("a")
        waiting = [asyncio.create_task(turns.acquire("a")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await turns.acquire("a")
        other = asyncio.create_task(turns.acquire("b"))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await waiting[2]
        turns.release("a")
        await other
        assert not waiting[0].done()

    asyncio.run(run())


def test_each_client_runs_a_limited_number() -> None:
    async def run() -> None:
        turns = Turns(4, 10, each=1)
        await turns.acquire("a")
        second = asyncio.create_task(turns.acquire("a"))
        await turns.acquire("b")
        turns.release("b")
        assert not second.done()
        turns.release("a")
        await second

    asyncio.run(run())


@pytest.mark.parametrize("granted", [False, True])
def test_a_cancelled_job_gives_its_turn_to_the_next(granted: bool) -> None:
    async def run() -> None:
        turns = Turns(1, 10)
        await turns.acquire("a")
        cancelled, waits = (asyncio.create_task(turns.acquire(client)) for client in "bc")
        await asyncio.sleep(0)
        if granted:
            turns.release("a")
        cancelled.cancel()
        if not granted:
            turns.release("a")
        async with asyncio.timeout(5):
            await waits
        turns.release("c")
        await turns.acquire("d")

    asyncio.run(run())
