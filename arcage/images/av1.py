"""The size of a picture in AV1 (section 5 of the AV1 bitstream specification)."""

from __future__ import annotations

_SEQUENCE_HEADER = 1
_MAX_UNITS = 16
"""Maximum number of units before the sequence header."""
_MAX_BYTES = 1024
"""A sequence header is shorter."""


def read_size(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the maximum width and height in the first sequence header from ``data[at:]``, or None.

    Raises:
        LookupError: the data end before.
    """
    for _ in range(_MAX_UNITS):
        head = data[at]
        at += 2 if head & 4 else 1
        if not head & 2:  # a unit without a size is the last one
            size = len(data) - at
        else:
            size, at = _leb128(data, at)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            return _size(_Bits(data[at : at + min(size, _MAX_BYTES)]))
        at += size
        if at >= len(data):
            return None
    return None


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the data end")
        return self._value >> self._left & (1 << count) - 1


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        value |= (data[at + i] & 127) << 7 * i
        if not data[at + i] & 128:
            return value, at + i + 1
    raise IndexError("the number does not end")


def _size(bits: _Bits) -> tuple[int, int]:
    bits.read(4)  # profile, still picture
    if bits.read(1):  # reduced header
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):  # a number of ticks, Exp-Golomb code
            zeros = 0
            while not bits.read(1):
                zeros += 1
            bits.read(zeros if zeros < 32 else 0)
        if bits.read(1):  # decoder model
            delay_bits = bits.read(5) + 1
            bits.read(42)
    display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if display_delay and bits.read(1):
            bits.read(4)
