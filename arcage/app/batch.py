"""The endpoint for a zip of photos, which sends the rows one after the other."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterable, Hashable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from arcage.app.api import Api, client_of
from arcage.app.body import receive_file
from arcage.app.options import BATCH_OPTIONS
from arcage.app.predictions import PhotoPrediction
from arcage.app.zips import Photo, ZipError, ZipTooLargeError, photos_in
from arcage.output.formats import write_text


class Batch:
    """Predicts all photos of a zip.

    This is an ASGI application instead of a function of a request: it keeps its place until the last row is
    sent, or until the client disconnects.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        limits = self._api.limits
        as_csv = "text/csv" in request.headers.get("accept", "")
        options = self._api.options(request, BATCH_OPTIONS)
        if as_csv:
            options = replace(options, pictures=False)
        client = client_of(request)
        async with self._api.uploads.open(client) as upload:
            data = await receive_file(request, limits.zip_bytes, upload)
            async with asyncio.timeout(limits.answer_seconds):
                await self._api.zips.acquire(client)
            try:
                # Single photos of this client have a share of their own.
                photos = await self._read((client, "zip"), data)
                predicted = self._api.pool.predict_in_order((client, "zip"), photos, options)
                written = (_csv if as_csv else _jsonl)(predicted, options.more)
                async with aclosing(predicted), aclosing(written) as lines:
                    kind = "text/csv" if as_csv else "application/x-ndjson"
                    response = StreamingResponse(lines, media_type=kind)
                    with suppress(TimeoutError):  # Uvicorn closes the connection of an unfinished response
                        async with asyncio.timeout(limits.zip_seconds + limits.answer_seconds):
                            await response(scope, receive, send)
            finally:
                self._api.zips.release(client)

    async def _read(self, client: Hashable, data: bytes) -> list[Photo]:
        try:
            return await self._api.pool.run(client, partial(self._photos, data))
        except ZipError as error:
            raise HTTPException(413 if isinstance(error, ZipTooLargeError) else 400, str(error)) from None

    def _photos(self, data: bytes) -> list[Photo]:
        limits = self._api.limits
        return photos_in(
            data, most=limits.zip_photos, bytes_each=limits.photo_bytes, bytes_all=limits.unpacked_bytes
        )


async def _csv(predicted: AsyncIterable[PhotoPrediction], more: Sequence[str]) -> AsyncGenerator[str]:
    text = io.StringIO()
    write = write_text(text, "csv", more)
    async for prediction in predicted:
        write(prediction.rows)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


async def _jsonl(predicted: AsyncIterable[PhotoPrediction], more: Sequence[str]) -> AsyncGenerator[str]:
    async for prediction in predicted:
        for row in prediction.json_rows(more):
            yield json.dumps(row, ensure_ascii=False) + "\n"
