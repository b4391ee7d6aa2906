"""The endpoints below ``/api`` (``docs/guide/app.md``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from arcage._version import __version__
from arcage.app.body import receive_photo
from arcage.app.limits import Limits
from arcage.app.predictions import PredictionPool
from arcage.output.rows import COLUMNS, DECIMALS
from arcage.predictor import Predictor

_NAME = 1000
"""Maximum length of a photo's name in its rows, characters."""


class Api:
    """What all requests share, and the endpoints for the settings and for one photo."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.limits = limits
        self._pixels = predictor.limits.pixels
        self.pool = PredictionPool(predictor, limits.answer_seconds)
        self.photos = asyncio.Semaphore(limits.photos_at_once)
        self.zips = asyncio.Semaphore(1)

    async def about(self, request: Request) -> Response:
        """Return the version, the columns and the limits."""
        limits = {"pixels": self._pixels, **asdict(self.limits)}
        return JSONResponse(
            {"arcage": __version__, "columns": COLUMNS, "decimals": DECIMALS, "limits": limits}
        )

    async def predict(self, request: Request) -> Response:
        """Return the rows of one photo."""
        picture = wants_pictures(request)
        async with self.place(self.photos):
            name, data = await receive_photo(request, self.limits)
            name = (request.query_params.get("name") or name or "-")[:_NAME]
            predicted = await self.pool.predict(name, lambda: data, picture=picture)
        return JSONResponse({"rows": predicted.json_rows()})

    @asynccontextmanager
    async def place(self, places: asyncio.Semaphore) -> AsyncGenerator[None]:
        """Wait for a place before the body is read, so that waiting requests use no memory.

        Raises:
            TimeoutError: no place was free in time.
        """
        async with asyncio.timeout(self.limits.answer_seconds):
            await places.acquire()
        try:
            yield
        finally:
            places.release()


def wants_pictures(request: Request) -> bool:
    """Return whether the rows are to include a smaller copy of the photo."""
    return request.query_params.get("pictures") == "1"
