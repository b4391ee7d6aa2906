"""The endpoints below ``/api`` (``docs/guide/server.md``)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from arcage._version import __version__
from arcage.app.body import Body, File, receive_photos
from arcage.app.clients import network
from arcage.app.limits import Limits
from arcage.app.options import PREDICT_OPTIONS, OptionError, Options, parse_options
from arcage.app.predictions import PhotoPrediction, PredictionPool
from arcage.app.turns import Turns
from arcage.app.uploads import Uploads
from arcage.errors import HeadsError
from arcage.images.decoder import is_quick
from arcage.output.rows import COLUMNS, DECIMALS
from arcage.predictor import Predictor

_T = TypeVar("_T")

_ZIPS = 4
"""Zips that are processed at once, one of each client."""


class Api:
    """What all requests share, and the endpoints for the settings and for photos."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.limits = limits
        self._predictor = predictor
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
        """Return the rows of one photo, or of the photos of a form."""
        options = self.options(request, PREDICT_OPTIONS)
        client = client_of(request)
        async with self.uploads.open(client) as upload:
            files = await receive_photos(request, self.limits, upload)
            if len(files) > 1:
                predicted = await _while_connected(request, self._predict_all(client, files, options))
            else:
                photo = Body(files[0].read(), options.name or files[0].name)
                del files  # of a form, this is a second copy
                predicted = [await _while_connected(request, self._predict_one(client, photo, options))]
        return JSONResponse({"rows": [row for one in predicted for row in one.json_rows(options.more)]})

    async def _predict_one(self, client: str, photo: Body, options: Options) -> PhotoPrediction:
        # Photos that may take long are another queue, so that they do not delay the others.
        quick = await asyncio.to_thread(is_quick, photo.data, self._decoding)
        lane = client if quick else (client, "slow")
        return await self.pool.predict(lane, photo, options, long=not quick)

    async def _predict_all(
        self, client: str, photos: Sequence[File], options: Options
    ) -> list[PhotoPrediction]:
        # Single photos of this client have a share of their own.
        async with aclosing(self.pool.predict_in_order((client, "form"), photos, options)) as predicted:
            return [one async for one in predicted]

    def options(self, request: Request, known: Iterable[str]) -> Options:
        """Return the options of a request.

        Args:
            request: its query is read.
            known: the options of the endpoint.

        Raises:
            HTTPException: they are invalid, or the heads lack what they need.
        """
        try:
            options = parse_options(request.query_params.multi_items(), known)
            self._predictor.with_selection(options.selection)
        except (OptionError, HeadsError) as error:
            raise HTTPException(422, str(error)) from None
        return options


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
