"""Content hashes as arrays, to look up a million of them at once.

A key is a sha256 as 32 raw bytes, in NumPy arrays of dtype S32. They take half the memory of hexadecimal
digits, and NumPy can sort and search them. Never convert a single element to ``bytes``: NumPy drops its
trailing zero bytes. Use :func:`to_hex`.
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
    """Convert hexadecimal sha256 to keys, shape (len(hashes),).

    Raises:
        ValueError: a text is not 64 hexadecimal digits.
    """
    keys = np.empty(len(hashes), dtype="S32")
    # In chunks, to avoid another copy of all hashes in one string.
    for start in range(0, len(hashes), _CHUNK):
        chunk = hashes[start : start + _CHUNK]
        if any(len(text) != DIGITS for text in chunk):
            raise ValueError("a sha256 has 64 hexadecimal digits")
        raw = bytes.fromhex("".join(chunk))
        if len(raw) != 32 * len(chunk):  # fromhex skips blanks
            raise ValueError("a sha256 has 64 hexadecimal digits")
        keys[start : start + len(chunk)] = np.frombuffer(raw, dtype="S32")
    return keys


def to_hex(keys: Keys) -> list[str]:
    """Convert keys to 64 lower-case hexadecimal digits each."""
    text = keys.tobytes().hex()
    return [text[start : start + DIGITS] for start in range(0, len(text), DIGITS)]


def find(keys: Keys, wanted: Keys) -> I64:
    """Return the first index of each of ``wanted`` in the sorted ``keys``, or -1; shape (len(wanted),)."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    at = keys.searchsorted(wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1)


def first_copies(keys: Keys, image: I64) -> I64:
    """Return the order that sorts rows by key and keeps one copy of every image.

    Args:
        keys: keys of rows in the order of preference, shape (n,). image: numbers of the stored images, shape
        (n,): the rows of one copy of an image have the same number,
            and those of another copy have another one.

    Returns:
        Row numbers, shape (at most n,). The rows of one copy keep their order.
    """
    order = np.argsort(keys, kind="stable")
    if len(order) == 0:
        return order
    ordered = keys[order]
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    kept = image[order[starts]]
    keep: I64 = order[image[order] == kept[np.cumsum(starts) - 1]]
    return keep
