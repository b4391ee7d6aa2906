"""Write predictions as labels that FiftyOne imports (``FiftyOneImageDetectionDataset``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from arcage.cache.arrow import printable
from arcage.output.boxes import attributes, images, relative_box
from arcage.output.json_text import as_json, items
from arcage.types import Prediction


@contextmanager
def write_fiftyone(file: IO[str], more: Sequence[str]) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """Yield a function that writes all rows of one image or several.

    Images are named by their absolute paths, with which FiftyOne needs no folder. A face has a box relative
    to the upright image, the detector's score as ``confidence``, and the other columns as ``attributes``. An
    image without a face has no detections, and an unreadable one no label.
    """
    with items(file, '{"labels": {', "}}\n") as add:

        def write(rows: Sequence[Prediction]) -> None:
            for path, group in images(rows):
                faces = [_detection(row, more) for row in group if row.face is not None]
                label = None if group[0].status == "unreadable" else faces
                # MongoDB stores valid UTF-8 only: another name would prevent the import of all images.
                add(f"{as_json(printable(os.path.abspath(path)))}: {as_json(label)}")

        yield write


def _detection(row: Prediction, more: Sequence[str]) -> dict[str, Any]:
    return {
        "label": "face",
        "bounding_box": relative_box(row),
        "confidence": None if row.det_score is None else round(row.det_score, 3),
        "attributes": attributes(row, more),
    }
