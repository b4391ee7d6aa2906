"""Predict photos, a limited number at once and in a limited time."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from arcage.embedder.engines.base import cores
from arcage.errors import ImageError
from arcage.images.limits import DecodeLimits
from arcage.output.rows import json_row
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.types import Prediction

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

    def json_rows(self) -> list[dict[str, Any]]:
        """Return the rows with the columns of every output; the first one includes the picture, if any."""
        rows = [json_row(row) for row in self.rows]
        if self.picture is not None:
            rows[0]["picture"] = self.picture
        return rows


class PredictionPool:
    """Shares one Predictor among requests.

    A thread cannot be stopped: after a timeout it finishes its photo, and keeps its place until then.

    Args:
        predictor: called from several threads at once.
        seconds: maximum time for one photo, including the time to wait for a thread.
    """

    def __init__(self, predictor: Predictor, seconds: float) -> None:
        self._predictor = predictor
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(AT_ONCE, "arcage-app")

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in one of the threads.

        Raises:
            TimeoutError: there was no result in time; a call that was still waiting is cancelled.
        """
        async with asyncio.timeout(self._seconds):
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def predict(
        self, name: str, read: Callable[[], bytes], *, picture: bool = False
    ) -> PhotoPrediction:
        """Predict one photo. Raises like :meth:`run` and :meth:`Predictor.predict`.

        Args:
            name: for the rows.
            read: returns the encoded photo, or raises ImageError.
            picture: include a smaller copy of the photo.
        """
        predicted: PhotoPrediction = await self.run(self._predict, name, read, picture)
        return predicted

    def _predict(self, name: str, read: Callable[[], bytes], picture: bool) -> PhotoPrediction:
        try:
            source = Source(name, name, data=read())
        except ImageError as error:
            source = Source(name, name, error=str(error))
        with closing(self._predictor.stream([source])) as predictions:
            rows = next(predictions)[1]
        if not picture or rows[0].status == "unreadable":
            return PhotoPrediction(rows)
        return PhotoPrediction(rows, _picture(source.read(), self._predictor.limits))


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
