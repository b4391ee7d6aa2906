"""Predict photos, a limited number at once and in a limited time."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from arcage.app.body import File
from arcage.app.limits import Limits
from arcage.app.options import NAME, Options
from arcage.app.turns import Turns
from arcage.embedder.engines.base import cores
from arcage.errors import ImageError
from arcage.images.limits import DecodeLimits
from arcage.output.rows import json_row, row_without_face
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.types import Prediction

_T = TypeVar("_T")

PICTURE = 800
"""Longer side of a picture that is returned with its rows, pixels."""
AT_ONCE = min(4, cores())
"""Number of photos that are processed at once: the largest takes a gigabyte while it is decoded."""


@dataclass(frozen=True, slots=True)
class PhotoPrediction:
    """The rows of a photo."""

    rows: list[Prediction]
    picture: dict[str, Any] | None = None
    """``width`` and ``height`` of the upright photo, and a smaller copy of it as ``jpeg`` in base64."""

    def json_rows(self, more: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows with the columns of every output and additional ones; the first row includes the
        picture, if any."""
        rows = [json_row(row, more) for row in self.rows]
        if self.picture is not None:
            rows[0]["picture"] = self.picture
        return rows


class PredictionPool:
    """Shares one Predictor among requests.

    A thread cannot be stopped: after a timeout it finishes its photo, and keeps its place until then.

    Args:
        predictor: called from several threads at once.
        limits: ``answer_seconds``, which includes the time to wait for a thread, ``zip_seconds`` and
            ``waiting``.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self._predictor = predictor
        self._limits = limits
        # One more, which is never taken by a call that may take long.
        self._turns = Turns(AT_ONCE + 1, limits.waiting)
        self._long = Turns(AT_ONCE, limits.waiting)
        self._threads = ThreadPoolExecutor(AT_ONCE + 1, "arcage-app")

    async def run(self, client: Hashable, function: Callable[[], _T], *, long: bool = True) -> _T:
        """Call a function in one of the threads.

        Args:
            client: each client gets the same share of the threads.
            function: what to call.
            long: whether the call may take long.

        Raises:
            TimeoutError: there was no result in time, or too many calls wait; a call that waits is cancelled.
        """
        loop = asyncio.get_running_loop()

        def release(_: object) -> None:
            with suppress(RuntimeError):  # the server has stopped
                for turns in taken:
                    loop.call_soon_threadsafe(turns.release, client)

        async with asyncio.timeout(self._limits.answer_seconds):
            taken: list[Turns] = []
            try:
                for turns in (self._long, self._turns) if long else (self._turns,):
                    await turns.acquire(client)
                    taken.append(turns)
            except BaseException:
                for turns in taken:
                    turns.release(client)
                raise
            called = self._threads.submit(function)
            called.add_done_callback(release)
            return await asyncio.wrap_future(called)

    async def predict(
        self, client: Hashable, photo: File, options: Options, *, long: bool = True
    ) -> PhotoPrediction:
        """Predict one photo. Raises like :meth:`run` and :meth:`Predictor.predict`.

        Args:
            client: as in :meth:`run`.
            photo: ``read`` may raise ImageError.
            options: its ``name`` is not used.
            long: as in :meth:`run`.
        """
        return await self.run(client, partial(self._predict, photo, options), long=long)

    async def predict_in_order(
        self, client: Hashable, photos: Sequence[File], options: Options
    ) -> AsyncGenerator[PhotoPrediction]:
        """Yield the predictions in the order of the photos. Arguments as in :meth:`predict`.

        An error of a photo becomes a row, because the rows of others may already be sent.
        """
        limits = self._limits
        end = asyncio.get_running_loop().time() + limits.zip_seconds

        async def predict(photo: File) -> PhotoPrediction:
            if asyncio.get_running_loop().time() > end:
                error = f"skipped: the limit of {limits.zip_seconds:g} seconds for one request is over"
            else:
                try:
                    return await self.predict(client, photo, options)
                except TimeoutError:
                    error = f"no answer within {limits.answer_seconds:g} seconds"
            return PhotoPrediction([row_without_face(name_of(photo), error)])

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

    def _predict(self, photo: File, options: Options) -> PhotoPrediction:
        name = name_of(photo)
        try:
            source = Source(name, name, data=photo.read())
        except ImageError as error:
            source = Source(name, name, error=str(error))
        predictor = self._predictor.with_selection(options.selection)
        with closing(predictor.stream([source])) as predictions:
            rows = next(predictions)[1]
        if not options.pictures or rows[0].status == "unreadable":
            return PhotoPrediction(rows)
        return PhotoPrediction(rows, _picture(source.read(), self._predictor.limits))


def name_of(photo: File) -> str:
    """Return the name of a photo in its rows."""
    return photo.name[:NAME] or "-"


def warm_up(predictor: Predictor) -> None:
    """Load the networks. Raises like :meth:`Predictor.predict`."""
    import cv2
    import numpy as np

    predictor.predict(cv2.imencode(".png", np.full((64, 64, 3), 255, np.uint8))[1].tobytes())


def _picture(data: bytes, limits: DecodeLimits) -> dict[str, Any] | None:
    import cv2

    from arcage.images.decoder import decode

    try:
        image = decode(data, limits=limits)
    except ImageError:  # out of memory, although the first time there was enough
        return None
    height, width = image.shape[:2]
    zoom = min(1.0, PICTURE / max(height, width))
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", small)[1].tobytes()
    return {"width": width, "height": height, "jpeg": base64.b64encode(jpeg).decode("ascii")}
