"""Split the images among several runs, which may be on different machines."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from arcage.errors import UsageError
from arcage.sources.source import Source


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of the images."""

    number: int
    """From 1 to ``count``."""
    count: int

    def __contains__(self, source: Source) -> bool:
        """Whether an image belongs to this part.

        The hash of its name decides, so that all machines agree and new images move no others. For a row of a
        Parquet file it is the hash of the row group, so that each part reads only its own groups.
        """
        key = source.unit or source.name
        return zlib.crc32(key.encode("utf-8", "surrogateescape")) % self.count == self.number - 1


def parse_shard(text: str) -> Shard:
    """Parse ``2/8``, the second of eight parts.

    Raises:
        UsageError: the text has another form.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return Shard(int(match[1]), int(match[2]))
    raise UsageError(
        f"`shard` is i/n with i from 1 to n, such as 1/4 for the first of four parts, not {text!r}"
    )
