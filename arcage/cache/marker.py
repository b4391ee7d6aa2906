"""Records in JSON that carry a checksum of their own content: markers and ``pipeline.json``.

A number in a marker decides which copy of an image counts, so a changed digit must not pass unnoticed.
Earlier records have no checksum: they are accepted if they have no other keys than those of that time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from arcage.readers.strict_json import parse_json

CHECKSUM = "checksum"
"""Key of the checksum: the 128-bit XXH3 digest of the rest, as JSON with sorted keys and without blanks."""
FAST_DIGEST = "xxh3"
"""Key of the 128-bit XXH3 digest of a part's file. It is compared when the file is first used, in an eighth
of the time of SHA-256. Files of earlier versions only have a SHA-256, which is compared instead."""

MAX_FILE = 1 << 29
"""Maximum size of a file of a part, 512 MiB. A writer ends a shard after 64 MiB of descriptors."""
MAX_ROWS = 1 << 20
"""Maximum rows of a part. A writer ends a part after 2,048 images, 131,072 faces or 65,536 names."""
MAX_MARKER = 1 << 16
"""Maximum size of a marker, bytes."""

_HASHES = {"sha256": re.compile("[0-9a-f]{64}"), FAST_DIGEST: re.compile("[0-9a-f]{32}")}


class ChangedError(ValueError):
    """A record differs from its checksum."""


def sealed(record: Mapping[str, object]) -> dict[str, object]:
    """Return the record with its checksum."""
    return {**record, CHECKSUM: _digest(record)}


def check_seal(record: Any, old_keys: Collection[str]) -> dict[str, Any]:
    """Return a record without its checksum.

    Args:
        record: as read from JSON.
        old_keys: the keys that a record without a checksum may have.

    Raises:
        ChangedError: its checksum differs.
        ValueError: it is no record.
    """
    if not isinstance(record, dict):
        raise ValueError("not a record")
    content = {key: value for key, value in record.items() if key != CHECKSUM}
    if CHECKSUM in record:
        if record[CHECKSUM] != _digest(content):
            raise ChangedError("its checksum differs")
    elif not set(content) <= set(old_keys):
        raise ChangedError("it has no checksum")
    return content


@dataclass(frozen=True, slots=True)
class MarkerForm:
    """What the markers in a folder contain."""

    suffixes: tuple[str, ...]
    """Of the files of each part."""
    stamp: Mapping[str, object]
    """Values that all markers share."""
    counts: tuple[str, ...]
    """Names of numbers that every marker has."""
    optional: tuple[str, ...] = ()
    """Names of numbers that a marker may have."""

    def parse(self, data: bytes) -> dict[str, Any]:
        """Return the content of a marker.

        Raises:
            ChangedError: its checksum differs.
            ValueError: it is no marker, or a number in it is not possible.
        """
        old_keys = {*self.stamp, *self.counts, *self.optional, "files"}
        record = parse_json(data, max_bytes=MAX_MARKER, max_depth=4)
        facts = check_seal(record, old_keys)
        numbers = [facts[name] for name in self.counts]
        numbers += [facts[name] for name in self.optional if name in facts]
        if not all(_is_count(number, MAX_ROWS) for number in numbers):
            raise ValueError("a number is not possible")
        hashes = {"sha256", FAST_DIGEST} if CHECKSUM in record else {"sha256"}
        for suffix in self.suffixes:
            file = facts["files"][suffix]
            if not _is_count(file["bytes"], MAX_FILE):
                raise ValueError("a size is not possible")
            if set(file) & set(_HASHES) != hashes or (CHECKSUM not in record and len(file) > 2):
                raise ChangedError("a checksum is missing")
            if not all(_HASHES[name].fullmatch(file[name]) for name in hashes):
                raise ValueError("not a checksum")
        return facts


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())
