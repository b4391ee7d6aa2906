"""Whether the server takes requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("starlette")
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from arcage.app.readiness import Gate, Readiness

READY = Readiness(loaded=True)
LOADING = Readiness()
STOPPING = Readiness(loaded=True)
STOPPING.stopping = True


@pytest.mark.parametrize(
    ("readiness", "status", "seconds"), [(READY, 200, None), (LOADING, 503, "2"), (STOPPING, 503, "10")]
)
def test_health(readiness: Readiness, status: int, seconds: str | None) -> None:
    answer = asyncio.run(readiness.healthz(Request({"type": "http"})))
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == seconds


def ask(readiness: Readiness, method: str) -> tuple[list[int], list[int]]:
    """Return the statuses that are sent, and how many requests the application sees running."""
    seen: list[int] = []
    statuses: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(readiness.running)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: Any = {"type": "http", "method": method, "headers": []}
    asyncio.run(Gate(app, readiness)(scope, None, send))  # type: ignore[arg-type]
    return statuses, seen


def test_photos_are_refused_and_pages_are_not() -> None:
    assert ask(READY, "POST") == ([200], [1])
    for readiness in (LOADING, STOPPING):
        assert ask(readiness, "POST") == ([503], [])
        assert ask(readiness, "GET") == ([200], [1])
    assert READY.running == LOADING.running == 0


def test_a_failed_request_is_not_counted_any_more() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    readiness = Readiness(loaded=True)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Gate(app, readiness)({"type": "http", "method": "POST"}, None, None))  # type: ignore[arg-type]
    assert readiness.running == 0
