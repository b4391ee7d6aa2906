"""Photos to rows, a bounded number at once and in a bounded time."""

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
from arcage.output.rows import json_row
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.types import Prediction

PICTURE = 800
"""Pixels of the long side of a picture that comes back with its rows."""
AT_ONCE = min(4, cores())
"""Photos that are worked on at once: the largest takes a gigabyte while it is decoded."""


@dataclass(frozen=True, slots=True)
class Answer:
    rows: list[Prediction]
    picture: dict[str, Any] | None = None
    """``width`` and ``height`` of the upright photo, and a smaller copy of it as ``jpeg`` in base64."""

    def records(self) -> list[dict[str, Any]]:
        """The rows with the columns of every output; the picture, if there is one, is in the first."""
        records = [json_row(row) for row in self.rows]
        if self.picture is not None:
            records[0]["picture"] = self.picture
        return records


class Answers:
    """Shares one Predictor among requests.

    A thread cannot be ended: an answer that is given up is still worked on, and keeps its place until then.
    """

    def __init__(self, predictor: Predictor, seconds: float) -> None:
        self._predictor = predictor
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(AT_ONCE, "arcage-app")

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in one of the threads.

        Raises:
            TimeoutError: there was no answer in time; if its turn had not come, it never will.
        """
        async with asyncio.timeout(self._seconds):
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def answer(self, name: str, read: Callable[[], bytes], *, picture: bool = False) -> Answer:
        """The rows of one photo; raises as :meth:`run` and as :meth:`Predictor.predict`."""
        answer: Answer = await self.run(self._answer, name, read, picture)
        return answer

    def _answer(self, name: str, read: Callable[[], bytes], picture: bool) -> Answer:
        try:
            source = Source(name, name, data=read())
        except ImageError as error:
            source = Source(name, name, error=str(error))
        with closing(self._predictor.stream([source])) as answers:
            rows = next(answers)[1]
        readable = rows[0].status != "unreadable"
        return Answer(rows, _picture(source.read()) if picture and readable else None)


def warm_up(predictor: Predictor) -> None:
    """Load the networks; raises as they do."""
    import cv2
    import numpy as np

    predictor.predict(cv2.imencode(".png", np.full((64, 64, 3), 255, np.uint8))[1].tobytes())


def _picture(data: bytes) -> dict[str, Any] | None:
    import cv2

    from arcage.images.decode import decode

    try:
        image = decode(data)
    except ImageError:  # there was memory for it before
        return None
    height, width = image.shape[:2]
    zoom = min(1.0, PICTURE / max(height, width))
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", small)[1].tobytes()
    return {"width": width, "height": height, "jpeg": base64.b64encode(jpeg).decode("ascii")}
