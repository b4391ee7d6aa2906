"""Damage bytes. Every function takes random numbers and bytes, and returns other bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

Mutator = Callable[[np.random.Generator, bytes], bytes]

INTERESTING = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    255,
    256,
    1000,
    1023,
    1024,
    4095,
    4096,
)
"""Small values that programs compare with."""
_RUN = 64
"""Maximum length of a run that is overwritten or inserted, bytes."""


def flip_bits(rng: np.random.Generator, data: bytes) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def replace_byte(rng: np.random.Generator, data: bytes) -> bytes:
    """Replace a byte by a random one."""
    return _with(data, _place(rng, data), rng.bytes(1))


def overwrite_run(rng: np.random.Generator, data: bytes) -> bytes:
    """Overwrite a run with random bytes or with one repeated byte."""
    length = int(rng.integers(1, _RUN + 1))
    run = rng.bytes(length) if rng.integers(2) else rng.bytes(1) * length
    return _with(data, _place(rng, data), run)[: len(data)]


def insert_run(rng: np.random.Generator, data: bytes) -> bytes:
    """Insert random bytes or one repeated byte."""
    at, length = _place(rng, data), int(rng.integers(1, _RUN + 1))
    return data[:at] + (rng.bytes(length) if rng.integers(2) else rng.bytes(1) * length) + data[at:]


def delete_run(rng: np.random.Generator, data: bytes) -> bytes:
    """Delete a run."""
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def truncate(rng: np.random.Generator, data: bytes) -> bytes:
    """Cut the end off, often near a power of two or near the end."""
    if rng.integers(3) == 0:
        return data[: max(0, len(data) - int(rng.integers(1, 17)))]
    return data[: _place(rng, data)]


def duplicate(rng: np.random.Generator, data: bytes) -> bytes:
    """Repeat a block."""
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * int(rng.integers(1, 5)) + data[end:]


def swap_blocks(rng: np.random.Generator, data: bytes) -> bytes:
    """Swap two neighbouring blocks."""
    start, end = _span(rng, data)
    middle = int(rng.integers(start, end + 1))
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def interesting_integer(rng: np.random.Generator, data: bytes) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes with an integer near a limit, big or little endian."""
    width = int(rng.choice([1, 2, 4, 8]))
    top = 1 << (8 * width)
    near = [value for value in INTERESTING if value < top]
    near += [top - 1, top - 2, top // 2, top // 2 - 1, top // 4, len(data) % top, (len(data) + 1) % top]
    value = (near[int(rng.integers(len(near)))] + int(rng.integers(-1, 2))) % top
    return _with(data, _place(rng, data), value.to_bytes(width, _order(rng)))[: len(data)]


def length_field(rng: np.random.Generator, data: bytes) -> bytes:
    """Change a number that may be a length: one whose value is at most the size of the data."""
    for _ in range(64):
        width, order = int(rng.choice([2, 4, 8])), _order(rng)
        at = _place(rng, data)
        value = int.from_bytes(data[at : at + width], order)
        if at + width <= len(data) and 0 < value <= len(data):
            top = 1 << (8 * width)
            other = [0, value - 1, value + 1, value * 2, value // 2, value << 8, len(data), top - 1, top // 2]
            return _with(data, at, (other[int(rng.integers(len(other)))] % top).to_bytes(width, order))
    return interesting_integer(rng, data)


def splice(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    """Continue with another seed at a random place of each."""
    return data[: _place(rng, data)] + other[_place(rng, other) :]


MUTATORS: tuple[Mutator, ...] = (
    flip_bits,
    replace_byte,
    overwrite_run,
    insert_run,
    delete_run,
    truncate,
    duplicate,
    swap_blocks,
    interesting_integer,
    length_field,
)


def mutate(
    rng: np.random.Generator,
    data: bytes,
    others: Sequence[bytes] = (),
    *,
    mutators: Sequence[Mutator] = MUTATORS,
    most: int = 4,
) -> bytes:
    """Damage data in one to ``most`` ways, chosen at random.

    Args:
        rng: random numbers.
        data: the seed.
        others: other seeds; now and then the data continue with one of them.
        mutators: the ways.
        most: maximum number of changes.
    """
    if others and rng.integers(10) == 0:
        data = splice(rng, data, others[int(rng.integers(len(others)))])
    for _ in range(int(rng.integers(1, most + 1))):
        if not data:
            return rng.bytes(int(rng.integers(_RUN)))
        data = mutators[int(rng.integers(len(mutators)))](rng, data)
    return data


def mutate_footer(rng: np.random.Generator, data: bytes, *, most: int = 4) -> bytes:
    """Damage the footer of a Parquet file, and correct its length."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = mutate(rng, data[start:-8], most=most)
    return data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _place(rng: np.random.Generator, data: bytes) -> int:
    """Return an index, half of the time among the first 512 bytes, where headers are."""
    size = max(len(data), 1)
    return int(rng.integers(min(size, 512) if rng.integers(2) else size))


def _span(rng: np.random.Generator, data: bytes) -> tuple[int, int]:
    """Return start and end of a block: short most of the time."""
    start = _place(rng, data)
    longest = max(len(data) - start, 1)
    return start, start + int(rng.integers(1, (min(longest, _RUN) if rng.integers(3) else longest) + 1))


def _order(rng: np.random.Generator) -> Literal["little", "big"]:
    return "little" if rng.integers(2) else "big"


def _with(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]
