"""Write predictions as a COCO data set with detections."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from arcage._version import __version__
from arcage.files import scratch_file
from arcage.output.boxes import attributes, images, pixel_box
from arcage.output.json_text import as_json, items
from arcage.output.registry import DESCRIPTION
from arcage.types import Prediction

CATEGORIES = [{"id": 1, "name": "face", "supercategory": "person"}]


@contextmanager
def write_coco(
    file: IO[str], more: Sequence[str], path: Path | None
) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """Yield a function that writes all rows of one image or several into a COCO file.

    ``images`` are those that can be read, ``annotations`` the faces: ``bbox`` is x, y, width and height in
    pixels, inside the upright image; ``score`` is the detector's; ``attributes`` are the other columns.
    Images that cannot be read are listed with their ``error`` as ``unreadable``, which readers of COCO leave
    aside. Annotations are in temporary files until the end, because they follow the images.

    Args:
        file: the open file.
        more: names of additional columns.
        path: of the file, beside which the temporary files are; None for the folder of the system.

    Raises:
        OutputError: the temporary files cannot be written.
    """
    info = {"description": DESCRIPTION, "version": __version__}
    head = {"info": info, "licenses": [], "categories": CATEGORIES}
    count = faces = 0
    with scratch_file(path) as annotations, scratch_file(path) as unreadable:
        with (
            items(file, as_json(head)[:-1] + ',\n"images": [', "],\n") as add_image,
            items(annotations, '"annotations": [', "],\n") as add_face,
            items(unreadable, '"unreadable": [', "]}\n") as add_unreadable,
        ):

            def write(rows: Sequence[Prediction]) -> None:
                nonlocal count, faces
                for name, group in images(rows):
                    size = group[0].image_size
                    if size is None:
                        add_unreadable(as_json({"file_name": name, "error": group[0].error}))
                        continue
                    count += 1
                    add_image(as_json({"id": count, "file_name": name, "width": size[0], "height": size[1]}))
                    for row in group:
                        if row.face is not None:
                            faces += 1
                            add_face(as_json(_annotation(row, faces, count, more)))

            yield write
        for part in (annotations, unreadable):
            part.seek(0)
            shutil.copyfileobj(part, file)


def _annotation(row: Prediction, number: int, image: int, more: Sequence[str]) -> dict[str, object]:
    x, y, width, height = pixel_box(row)
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORIES[0]["id"],
        "bbox": [x, y, width, height],
        "area": round(width * height, 1),
        "iscrowd": 0,
        "score": None if row.det_score is None else round(row.det_score, 3),
        "attributes": attributes(row, more),
    }
