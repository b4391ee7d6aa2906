"""The endpoint for a zip of photos, which sends the rows one after the other."""

from __future__ import annotations

import asyncio
import io
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Hashable
from contextlib import aclosing, suppress
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from arcage.app.api import Api, client_of, wants_pictures
from arcage.app.body import receive_file
from arcage.app.predictions import AT_ONCE, PhotoPrediction
from arcage.app.zips import Photo, ZipError, ZipTooLargeError, photos_in
from arcage.output.formats import write_text
from arcage.output.rows import row_without_face


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
        client = client_of(request)
        async with self._api.uploads.open(client) as upload:
            _, data = await receive_file(request, limits.zip_bytes, upload)
            async with asyncio.timeout(limits.answer_seconds):
                await self._api.zips.acquire(client)
            try:
                # Single photos of this client have a share of their own.
                photos = await self._read((client, "zip"), data)
                predicted = self._predict((client, "zip"), photos, wants_pictures(request) and not as_csv)
                async with aclosing(predicted), aclosing((_csv if as_csv else _jsonl)(predicted)) as lines:
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

    async def _predict(
        self, client: Hashable, photos: list[Photo], picture: bool
    ) -> AsyncGenerator[PhotoPrediction]:
        """Yield the predictions in the order of the photos.

        An error of a photo becomes a row, because the rows of others are already sent.
        """
        limits = self._api.limits
        end = asyncio.get_running_loop().time() + limits.zip_seconds

        async def predict(photo: Photo) -> PhotoPrediction:
            if asyncio.get_running_loop().time() > end:
                error = f"skipped: the limit of {limits.zip_seconds:g} seconds for one zip is over"
            else:
                try:
                    return await self._api.pool.predict(client, photo.name, photo.read, picture=picture)
                except TimeoutError:
                    error = f"no answer within {limits.answer_seconds:g} seconds"
            return PhotoPrediction([row_without_face(photo.name, error)])

        ahead: deque[asyncio.Task[PhotoPrediction]] = deque()
        try:
            for photo in photos:
                ahead.append(asyncio.create_task(predict(photo)))
                # One more than are processed at once, so that no thread waits for the next photo.
                if len(ahead) > AT_ONCE:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()


async def _csv(predicted: AsyncIterable[PhotoPrediction]) -> AsyncGenerator[str]:
    text = io.StringIO()
    write = write_text(text, "csv")
    async for prediction in predicted:
        write(prediction.rows)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


async def _jsonl(predicted: AsyncIterable[PhotoPrediction]) -> AsyncGenerator[str]:
    async for prediction in predicted:
        for row in prediction.json_rows():
            yield json.dumps(row, ensure_ascii=False) + "\n"
