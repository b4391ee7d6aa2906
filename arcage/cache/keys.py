"""Content hashes as arrays, so that a million of them can be looked up at once.

A key is a sha256 as 32 raw bytes, in numpy arrays of dtype S32: half of what hexadecimal digits take, and
numpy sorts and searches them as they are. Single elements must not leave such an array as Python ``bytes``:
numpy drops trailing zero bytes there. Use :func:`to_hex`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Keys: TypeAlias = NDArray[np.bytes_]
"""Shape (n,), dtype S32: sha256 digests."""

I64: TypeAlias = NDArray[np.int64]

DIGITS = 64
"""Hexadecimal digits of a sha256."""

_CHUNK = 1 << 16


def to_keys(hashes: Sequence[str]) -> Keys:
    """Hexadecimal sha256 -> keys, shape (len(hashes),). Raises ValueError for anything but 64 digits."""
    keys = np.empty(len(hashes), dtype="S32")
    # In chunks: the digits of ten million hashes in one string would be a third copy of them all.
    for start in range(0, len(hashes), _CHUNK):
        chunk = hashes[start : start + _CHUNK]
        if any(len(text) != DIGITS for text in chunk):
            raise ValueError("a sha256 has 64 hexadecimal digits")
        raw = bytes.fromhex("".join(chunk))
        if len(raw) != 32 * len(chunk):  # fromhex passes over blanks
            raise ValueError("a sha256 has 64 hexadecimal digits")
        keys[start : start + len(chunk)] = np.frombuffer(raw, dtype="S32")
    return keys


def to_hex(keys: Keys) -> list[str]:
    """Keys -> 64 lower-case hexadecimal digits each."""
    text = keys.tobytes().hex()
    return [text[start : start + DIGITS] for start in range(0, len(text), DIGITS)]


def find(keys: Keys, wanted: Keys) -> I64:
    """Where each of ``wanted`` first stands in the sorted ``keys``, or -1. Shape (len(wanted),)."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    at = keys.searchsorted(wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1)


def first_copies(keys: Keys, image: I64) -> I64:
    """The order that sorts rows by key and keeps one copy of every image.

    ``keys`` and ``image``, shape (n,), are rows in the order of preference; ``image`` numbers the stored
    images, so that the faces of one copy share a number and those of a second copy have another. Rows of
    one copy keep their order. Returns row numbers, shape (at most n,).
    """
    order = np.argsort(keys, kind="stable")
    if len(order) == 0:
        return order
    ordered = keys[order]
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    kept = image[order[starts]]
    keep: I64 = order[image[order] == kept[np.cumsum(starts) - 1]]
    return keep
