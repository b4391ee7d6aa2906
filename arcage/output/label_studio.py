"""Write predictions as tasks of Label Studio, to be corrected there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import quote

from arcage._version import __version__
from arcage.cache.arrow import printable
from arcage.output.boxes import images, relative_box
from arcage.output.json_text import as_json, items
from arcage.output.rows import DECIMALS
from arcage.sources.url import is_url
from arcage.types import Prediction

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves local files, by their path below its document root."""

CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="face" toName="image">
    <Label value="face"/>
  </RectangleLabels>
  <Number name="age" toName="image" perRegion="true" min="0" max="120"/>
  <Choices name="gender" toName="image" perRegion="true">
    <Choice value="female"/>
    <Choice value="male"/>
  </Choices>
</View>
"""
"""The labelling configuration of a project that takes the tasks."""


@contextmanager
def write_label_studio(file: IO[str]) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """Yield a function that writes all rows of one image or several as tasks.

    A task has the address of the image, its status, and a prediction with a rectangle for each face, which
    has an age and a gender. A task for an unreadable image has no prediction, and the reason as ``error``.
    """
    with items(file, "[", "]\n") as add:
        yield lambda rows: add(*(as_json(_task(path, group)) for path, group in images(rows)))


def _task(path: str, rows: Sequence[Prediction]) -> dict[str, Any]:
    first = rows[0]
    # The database of Label Studio stores valid UTF-8 only.
    data = {"image": address(path), "path": printable(path), "status": first.status}
    if first.error is not None:
        data["error"] = printable(first.error)
    if first.image_size is None:
        return {"data": data}
    result = [one for row in rows if row.face is not None for one in _results(row, first.image_size)]
    prediction: dict[str, Any] = {"model_version": f"arcage {__version__}", "result": result}
    if result:
        prediction["score"] = min(one["score"] for one in result if "score" in one)
    return {"data": data, "predictions": [prediction]}


def address(path: str) -> str:
    """Return the address of an image for Label Studio.

    URLs stay. Other paths are those of a local storage whose document root is the working directory, or the
    root of the file system for an absolute path.
    """
    if is_url(path):
        return path
    below = os.path.normpath(path).replace(os.sep, "/").lstrip("/")
    return LOCAL_FILES + quote(below, errors="surrogateescape")


def _results(row: Prediction, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the rectangle of a face, its age and its gender, which belong together by their ``id``."""
    x, y, width, height = relative_box(row, 100)
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}

    def result(name: str, kind: str, value: object, score: float | None) -> dict[str, Any]:
        return {
            "id": f"face-{row.face}",
            "from_name": name,
            "to_name": "image",
            "type": kind.lower(),
            "original_width": size[0],
            "original_height": size[1],
            "image_rotation": 0,
            "value": {**box, kind.lower(): value},
            **({} if score is None else {"score": round(score, 4)}),
        }

    results = [result("face", "RectangleLabels", ["face"], row.det_score)]
    if row.age is not None:
        results.append(result("age", "Number", round(row.age, DECIMALS["age"]), None))
    if row.gender is not None and row.p_female is not None:
        confidence = max(row.p_female, 1 - row.p_female)
        results.append(result("gender", "Choices", [row.gender], confidence))
    return results
