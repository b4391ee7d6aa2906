"""Thrift structures in the compact protocol, as in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator

BOOLEANS, BYTE, INT16, INT32, INT64, DOUBLE, BINARY, LIST, SET, STRUCT = (1, 2), 3, 4, 5, 6, 7, 8, 9, 10, 12
"""Types of values."""

_MAX_DEPTH = 16


class CompactReader:
    """Reads structures. Its methods raise IndexError at the end of the data, and ValueError if it is damaged.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        """Position of the next byte."""

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield the number and the type of each field. The caller reads or skips its value before the next.

        A number that is there twice is damage: readers differ in which of the two they take. So is one of
        more than 16 bits, which Arrow reads as another.
        """
        number = 0
        seen = set()
        while first := self._byte():
            number = number + (first >> 4) if first >> 4 else self.integer()
            if number in seen or not -(1 << 15) <= number < 1 << 15:
                raise ValueError("a Thrift structure is damaged")
            seen.add(number)
            yield number, first & 15

    def items(self) -> tuple[int, int]:
        """Return the number of the items of a list or a set, and their type. The caller reads each."""
        first = self._byte()
        count = first >> 4
        return (self._number() if count == 15 else count), first & 15

    def integers(self, kind: int) -> dict[int, int]:
        """Return the integers of one type in a structure, by the numbers of their fields."""
        found: dict[int, int] = {}
        for number, other in self.fields():
            if other == kind:
                found[number] = self.integer()
            else:
                self.skip(other)
        return found

    def integer(self) -> int:
        """Return an integer of 16, 32 or 64 bits."""
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Skip a value of a type."""
        if kind in (INT16, INT32, INT64):
            self._number()
        elif kind == BINARY:
            self._skip_bytes(self._number())
        elif kind == STRUCT and depth < _MAX_DEPTH:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (LIST, SET) and depth < _MAX_DEPTH:
            count, inner = self.items()
            for _ in range(count):
                # In a list, a truth value takes a byte.
                self.skip(BYTE if inner in BOOLEANS else inner, depth + 1)
        elif kind in (BYTE, DOUBLE):
            self._skip_bytes(1 if kind == BYTE else 8)
        elif kind not in BOOLEANS:
            # Parquet has no maps.
            raise ValueError("a Thrift structure is damaged")

    def _skip_bytes(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _number(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise ValueError("a Thrift structure is damaged")
        if number >> 64:
            raise ValueError("a Thrift structure is damaged")
        return number

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte
