"""Limits of decoding one image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from arcage.errors import UsageError

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([kmgt]?)(i?)b?", re.IGNORECASE | re.ASCII)
_LEAST_MEMORY = 50_000_000
"""Below this size, a decoder cannot start its threads."""
_MOST_MEMORY = 10**18
"""More cannot be set as the limit of a process, bytes."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits of decoding one image.

    Raises:
        UsageError: a limit is too low, or not finite.
    """

    memory: int = 1 << 30
    """Memory that a decoder may take, in addition to the file and its code, bytes."""
    seconds: float = 10.0
    """Time of one image, or of one frame of a video, in a worker process, seconds."""
    pixels: int = 100_000_000
    """Maximum of width x height, about 300 MB as RGB."""

    def __post_init__(self) -> None:
        if self.memory < _LEAST_MEMORY:
            raise UsageError(f"`max_memory` is {_LEAST_MEMORY // 1_000_000} MB or more")
        if self.memory > _MOST_MEMORY:
            raise UsageError(f"`max_memory` is {_MOST_MEMORY // 10**12:,} TB or less")
        if not 0 < self.seconds < math.inf:
            raise UsageError("`max_seconds` is more than 0, and finite")


DEFAULT_LIMITS = DecodeLimits()


def parse_limits(memory: str, seconds: float) -> DecodeLimits:
    """Return limits from what a user wrote.

    Args:
        memory: a number of bytes, with or without a unit, such as ``500MB`` or ``1.5 GiB``.
        seconds: seconds.

    Raises:
        UsageError: the size cannot be read, or a limit is too low or too high.
    """
    found = _SIZE.fullmatch(memory.strip())
    if found is None:
        raise UsageError(f"`max_memory` is a size such as 500MB or 2GB, not {memory!r}")
    number, unit, binary = found.groups()
    factor = (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " ")
    return DecodeLimits(memory=round(float(number) * factor), seconds=seconds)
