"""The endpoints below ``/api`` (``docs/guide/app.md``)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from arcage._version import __version__
from arcage.app.body import receive_photo
from arcage.app.clients import network
from arcage.app.limits import Limits
from arcage.app.predictions import PredictionPool
from arcage.app.turns import Turns
from arcage.app.uploads import Uploads
from arcage.images.decoder import is_quick
from arcage.output.rows import COLUMNS, DECIMALS
from arcage.predictor import Predictor

_T = TypeVar("_T")

_NAME = 1000
"""Maximum length of a photo's name in its rows, characters."""
_ZIPS = 4
"""Zips that are processed at once, one of each client."""


class Api:
    """What all requests share, and the endpoints for the settings and for one photo."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.limits = limits
        self._decoding = predictor.limits
        self.uploads = Uploads(limits)
        self.pool = PredictionPool(predictor, limits)
        self.zips = Turns(_ZIPS, limits.waiting, each=1)

    async def about(self, request: Request) -> Response:
        """Return the version, the columns and the limits."""
        limits = {"pixels": self._decoding.pixels, **asdict(self.limits)}
        return JSONResponse(
            {"arcage": __version__, "columns": COLUMNS, "decimals": DECIMALS, "limits": limits}
        )

    async def predict(self, request: Request) -> Response:
        """Return the rows of one photo."""
        picture = wants_pictures(request)
        client = client_of(request)
        async with self.uploads.open(client) as upload:
            name, data = await receive_photo(request, self.limits, upload)
            name = (request.query_params.get("name") or name or "-")[:_NAME]
            # Photos that may take long are another queue, so that they do not delay the others.
            quick = await asyncio.to_thread(is_quick, data, self._decoding)
            lane = client if quick else (client, "slow")
            predict = self.pool.predict(lane, name, lambda: data, picture=picture, long=not quick)
            predicted = await _while_connected(request, predict)
        return JSONResponse({"rows": predicted.json_rows()})


def client_of(request: Request) -> str:
    """Return who sends a request."""
    return network(request.client.host) if request.client else ""


async def _while_connected(request: Request, prediction: Coroutine[Any, Any, _T]) -> _T:
    """Cancel a prediction if nobody waits for it any more."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work = asyncio.create_task(prediction)
    gone = asyncio.create_task(disconnected())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


def wants_pictures(request: Request) -> bool:
    """Return whether the rows are to include a smaller copy of the photo."""
    return request.query_params.get("pictures") == "1"
