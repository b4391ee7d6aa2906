"""Write JSON, item by item."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from arcage.output.rows import json_row
from arcage.text import visible_json
from arcage.types import Prediction


def as_json(value: Any) -> str:
    """Return a value as JSON on one line, with the characters that cannot be seen as escapes."""
    return visible_json(json.dumps(value, ensure_ascii=False))


def write_lines(file: IO[str], more: Sequence[str]) -> Callable[[Sequence[Prediction]], None]:
    """Return a function that writes rows as JSON lines into an open file, with additional columns."""

    def write(rows: Sequence[Prediction]) -> None:
        for row in rows:
            file.write(f"{as_json(json_row(row, more))}\n")

    return write


@contextmanager
def write_array(file: IO[str], more: Sequence[str]) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """Yield a function that writes rows into a JSON array, with additional columns."""
    with items(file, "[", "]\n") as add:
        yield lambda rows: add(*(as_json(json_row(row, more)) for row in rows))


@contextmanager
def items(file: IO[str], start: str, end: str) -> Iterator[Callable[..., None]]:
    """Yield a function that writes the items of an array or object, which are JSON, each on a line.

    The end is not written after an exception.
    """
    file.write(start)
    separator = "\n"

    def add(*texts: str) -> None:
        nonlocal separator
        for text in texts:
            file.write(f"{separator}{text}")
            separator = ",\n"

    yield add
    file.write(f"\n{end}")
