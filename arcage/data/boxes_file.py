"""Read files of boxes: CSV and other tables, and COCO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from arcage.data.boxes import Boxes, BoxRow
from arcage.data.encodings import UTF_8, marked_encoding
from arcage.data.rows import (
    Row,
    column_name,
    csv_rows,
    csv_separator,
    excel_rows,
    json_rows,
    parquet_rows,
    restored,
)
from arcage.data.tables import WRITTEN
from arcage.errors import UsageError
from arcage.files import reason
from arcage.readers.regular_file import FileKindError, check_regular
from arcage.readers.strict_json import parse_json
from arcage.text import shortened

BOX = ("x1", "y1", "x2", "y2")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
LANDMARKS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
"""Columns of the landmarks, in the order of :attr:`arcage.types.Face.landmarks`."""
MAX_JSON = 1 << 29
"""Maximum size of a COCO file, bytes. Larger ones take too much memory; CSV does not."""


def read_boxes(path: Path, *, keep_paths: bool = False) -> Boxes:
    """Read the boxes of faces.

    A ``.json`` file is in the COCO format; its bounding boxes are x, y, width and height. Others are tables
    as for labels, such as CSV, with the columns ``path``, :data:`BOX` and, if the landmarks are known,
    :data:`LANDMARKS`. A row without a box is an image without a face.

    Args:
        path: the file.
        keep_paths: whether :meth:`Boxes.images` is needed.

    Raises:
        UsageError: the file cannot be read, or rows are wrong.
    """
    suffix = path.suffix.lower()
    wanted = {"path", *BOX, *LANDMARKS}
    try:
        check_regular(path)
        if suffix in _BINARY:
            return Boxes(path, _table(path, _BINARY[suffix](path, wanted), "row"), keep_paths=keep_paths)
        encoding = marked_encoding(path)
        # Paths need not be valid UTF-8.
        errors = "surrogateescape" if encoding == UTF_8 else "strict"
        with path.open(encoding=encoding, newline="", errors=errors) as file:
            if suffix == ".json":
                return Boxes(path, _coco(path, file.read(MAX_JSON + 1)), keep_paths=keep_paths)
            if suffix == ".jsonl":
                rows, comma = json_rows(path, file, wanted), False
            else:
                separator = csv_separator(path, file)
                rows, comma = restored(csv_rows(path, file, separator), WRITTEN), separator == ";"
            return Boxes(path, _table(path, rows, "line", comma=comma), keep_paths=keep_paths)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text ({error}); save it in UTF-8") from None
    except FileKindError as error:
        raise UsageError(f"cannot read the boxes {path}: {error}") from None
    except OSError as error:
        raise UsageError(f"cannot read the boxes {path}: {reason(error)}") from error


_BINARY = {".parquet": parquet_rows, ".xlsx": excel_rows}


def _table(path: Path, rows: Iterator[Row], line: str, *, comma: bool = False) -> Iterator[BoxRow]:
    """Yield the rows of a table.

    Args:
        path: for errors.
        rows: the header, then the rows.
        line: the word for the place of a row.
        comma: whether numbers may have a decimal comma.
    """
    header = [column_name(name) for name in next(rows, (0, []))[1]]
    at_path, *at = _columns(path, header)
    last = max(at_path, *at)
    for number, cells in rows:
        if not any(cells):  # spreadsheets write cleared rows
            continue
        where = f"{line} {number}"
        if len(cells) <= last or any(cells[len(header) :]):
            raise UsageError(
                f"{path}, {where}: {len(cells)} values for {len(header)} columns; put a path with commas in "
                "quotation marks"
            )
        if not cells[at_path].strip():
            raise UsageError(f"{path}, {where}: the path is empty")
        numbers = [cells[i].strip() for i in at]
        box, landmarks = numbers[:4], numbers[4:]
        if not any(box):
            if any(landmarks):
                raise UsageError(f"{path}, {where}: there are landmarks without a box")
            yield BoxRow(where, cells[at_path], (), ())
            continue
        try:
            parsed = [_number(text, comma) for text in (*box, *(landmarks if any(landmarks) else ()))]
        except ValueError as error:
            raise UsageError(f"{path}, {where}: {error}") from None
        yield BoxRow(where, cells[at_path], parsed[:4], parsed[4:])


def _columns(path: Path, header: Sequence[str]) -> list[int]:
    """Return the indices of the path, the box and, if there are any, the landmarks."""
    has_landmarks = any(name in header for name in LANDMARKS)
    needed = ("path", *BOX, *(LANDMARKS if has_landmarks else ()))
    if missing := [name for name in needed if name not in header]:
        listed = shortened([name[:50] for name in header], 20) or "none"
        raise UsageError(
            f"{path} has no column {missing[0]}: boxes need a first line with the columns "
            f"{', '.join(needed)}; it has {listed}"
        )
    if twice := [name for name in needed if header.count(name) > 1]:
        raise UsageError(f"{path} has more than one column {twice[0]}; keep one of them")
    return [header.index(name) for name in needed]


def _number(text: str, comma: bool) -> float:
    """Parse a coordinate. An empty one is NaN.

    Raises:
        ValueError: the text is not a number.
    """
    if not text:
        return float("nan")
    try:
        if "_" in text:  # Python accepts 1_0
            raise ValueError
        return float(text.replace(",", ".") if comma else text)
    except ValueError:
        raise ValueError(f"{text[:50]!r} is not a number of pixels") from None


def _coco(path: Path, text: str) -> Iterator[BoxRow]:
    """Yield the annotations of a COCO file, and its images without one."""
    try:
        content = parse_json(text, max_bytes=MAX_JSON)
        names = _image_names(_objects(content, "images"))
        annotations = _objects(content, "annotations")
    except (ValueError, KeyError, TypeError) as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{path} is not a COCO file ({missing}): it needs images with id and file_name, and annotations "
            "with image_id and bbox"
        ) from None
    seen = set()
    for number, annotation in enumerate(annotations):
        where = f"annotation {annotation.get('id', number)}"
        try:
            if annotation["image_id"] not in names:
                raise ValueError(f"there is no image {annotation['image_id']}")
            name = names[annotation["image_id"]]
            x, y, width, height = _numbers(annotation["bbox"], 4)
            landmarks = _keypoints(annotation.get("keypoints"))
        except (ValueError, KeyError, TypeError) as error:
            missing = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{path}, {where}: {missing}") from None
        seen.add(annotation["image_id"])
        yield BoxRow(where, name, (x, y, x + width, y + height), landmarks)
    for image, name in names.items():
        if image not in seen:
            yield BoxRow(f"image {image}", name, (), ())


def _image_names(images: Sequence[Mapping[str, Any]]) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for image in images:
        name = _text(image["file_name"])
        if names.setdefault(image["id"], name) != name:
            raise ValueError(f"two images have the id {str(image['id'])[:50]}")
    return names


def _objects(content: Any, key: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(content, dict):
        raise TypeError("it is not an object")
    found = content[key]
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise TypeError(f"{key} is not a list of objects")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a file_name is not text")
    return value


def _numbers(values: Any, count: int) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"the bbox is not {count} numbers")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise ValueError(f"{str(values)[:80]} are not all numbers")
    return [float(value) for value in values]


def _keypoints(values: Any) -> list[float]:
    """Return the landmarks in COCO's x, y, visibility; none if one of the five is not labelled.

    Raises:
        ValueError: there are more or fewer than five.
    """
    if values in (None, []):
        return []
    if not isinstance(values, list) or len(values) != 3 * len(POINTS):
        count = len(values) // 3 if isinstance(values, list) else "no"
        raise ValueError(f"there are {count} keypoints instead of 5: {', '.join(POINTS)}")
    values = _numbers(values, 3 * len(POINTS))
    return [] if 0 in values[2::3] else [value for i, value in enumerate(values) if i % 3 < 2]
