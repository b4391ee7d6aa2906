"""Let a limited number of jobs run at once, with the same share for each client."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Hashable


class Turns:
    """A semaphore that serves next the client with the fewest jobs, instead of the job that came first.

    Args:
        at_once: maximum number of jobs that run.
        waiting: maximum number of jobs that wait.
        each: maximum number of jobs of one client that run.
    """

    def __init__(self, at_once: int, waiting: int, each: int | None = None) -> None:
        self._free = at_once
        self._most = waiting
        self._each = each or at_once
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        """In the order in which the clients are served if they have the same number of jobs running."""

    async def acquire(self, client: Hashable) -> None:
        """Wait for a turn; :meth:`release` ends it.

        Raises:
            TimeoutError: too many jobs wait, and this client does not have fewer of them than another one.
        """
        if self._free and self._running[client] < self._each:
            self._start(client)
        else:
            await self._wait(client)

    def release(self, client: Hashable) -> None:
        """End a turn, and start the next one."""
        self._free += 1
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        if client in self._waiting:  # the others first
            self._waiting[client] = self._waiting.pop(client)
        self._next()

    async def _wait(self, client: Hashable) -> None:
        if sum(map(len, self._waiting.values())) >= self._most:
            longest = max(self._waiting, key=lambda other: len(self._waiting[other]))
            if len(self._waiting[longest]) <= len(self._waiting.get(client, ())) + 1:
                raise TimeoutError
            newest = self._waiting[longest][-1]  # has waited least
            self._remove(longest, newest)
            if not newest.done():
                newest.set_exception(TimeoutError())
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(client)
            elif turn in self._waiting.get(client, ()):
                self._remove(client, turn)
            raise

    def _next(self) -> None:
        while self._free and self._waiting:
            client = min(self._waiting, key=self._running.__getitem__)
            if self._running[client] >= self._each:
                return
            turn = self._waiting[client][0]
            self._remove(client, turn)
            if turn.done():  # cancelled
                continue
            self._start(client)
            turn.set_result(None)

    def _start(self, client: Hashable) -> None:
        self._free -= 1
        self._running[client] += 1

    def _remove(self, client: Hashable, turn: asyncio.Future[None]) -> None:
        self._waiting[client].remove(turn)
        if not self._waiting[client]:
            del self._waiting[client]
