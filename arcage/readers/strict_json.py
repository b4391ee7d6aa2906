"""JSON from files that anyone may have written or damaged.

Python's reader accepts more than JSON, and raises RecursionError for deep nesting. This one bounds size and
depth, and refuses what has no single meaning.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from arcage.readers.regular_file import read_regular

MAX_BYTES = 1 << 20
"""Default limit of size: 1 MiB. Records of arcage have a few kilobytes."""
MAX_DEPTH = 32
"""Default limit of nesting. Records of arcage have up to 5 levels."""

# Possessive, so that the time is linear. The end of the text closes an unfinished string.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_INTEGER_DIGITS = len(str(1 << 63))


def parse_json(data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON strictly.

    Args:
        data: UTF-8 without a byte order mark, or text.
        max_bytes: limit of the size; characters, if ``data`` is text.
        max_depth: limit of nested arrays and objects; 1 for an array of numbers.

    Raises:
        ValueError: the data is not JSON, too large or nested too deep; or it has a number that is not finite,
            an integer outside ±2**63, or an object with a key twice. The message is short and has no path.
    """
    if len(data) > max_bytes:
        raise ValueError(f"larger than {max_bytes:,} bytes")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    _check_depth(text, max_depth)
    return _DECODER.decode(text)


def read_json(path: str | Path, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Read a JSON file strictly; see :func:`parse_json`.

    Raises:
        OSError: the file cannot be read.
        ValueError: as in :func:`parse_json`; or the path is a folder, pipe or device.
    """
    return parse_json(read_regular(path, max_bytes), max_bytes=max_bytes, max_depth=max_depth)


def _check_depth(text: str, limit: int) -> None:
    if text.count("[") + text.count("{") <= limit:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        first = text[token.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > limit:
            raise ValueError(f"nested more than {limit} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:50]!r} is there twice")
        found[key] = value
    return found


def _integer(text: str) -> int:
    # Python takes quadratic time for long integers.
    if len(text) <= _INTEGER_DIGITS + 1 and -(1 << 63) <= (value := int(text)) < 1 << 63:
        return value
    raise ValueError(f"the integer {text[:20]}... is out of range")


def _float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        return value
    raise ValueError(f"the number {text[:20]} is out of range")


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
