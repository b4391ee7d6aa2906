"""Thrift structures in the compact protocol."""

from __future__ import annotations

import pytest

from arcage.readers.thrift import BINARY, INT32, INT64, STRUCT, CompactReader

NUMBERS = b"\x15\x02\x16\x80\x01\x15\x03\x00"
"""Fields 1 (32 bits), 2 (64 bits) and 3 (32 bits): 1, 64 and -2."""


def test_integers_of_one_type() -> None:
    assert CompactReader(NUMBERS).integers(INT32) == {1: 1, 3: -2}
    assert CompactReader(NUMBERS).integers(INT64) == {2: 64}


def test_numbers_of_fields() -> None:
    """A field is numbered relative to the last one, or by an integer if it is 16 or more later."""
    reader = CompactReader(b"\x15\x02\xf5\x04\x05\x64\x06\x00")
    assert reader.integers(INT32) == {1: 1, 16: 2, 50: 3}
    assert reader.at == 8


def test_every_type_is_skipped() -> None:
    skipped = (
        b"\x11\x12"  # true, false
        b"\x13\xff"  # a byte
        b"\x14\x02\x15\x02\x16\x02"  # integers
        b"\x17"
        + bytes(8)  # a float
        + b"\x18\x03abc"  # bytes
        b"\x19\x21\x01\x02"  # a list of two truth values
        b"\x1a\xf5\x10"
        + b"\x02"
        * 16  # a set of 16 integers
        + b"\x1c\x15\x02\x1c\x15\x02\x00\x00"  # a structure in a structure
        b"\x19\x2c\x15\x02\x00\x00"  # a list of two structures
    )
    reader = CompactReader(skipped + b"\x15\x0e\x00")
    assert reader.integers(INT32) == {5: 1, 13: 7}
    assert reader.at == len(skipped) + 3


def test_lists() -> None:
    assert CompactReader(b"\x3c").items() == (3, STRUCT)
    assert CompactReader(b"\xf8\xac\x02").items() == (300, BINARY)
    assert CompactReader(b"\x15\x02").items() == (1, INT32)


@pytest.mark.parametrize("number", [0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_integers(number: int) -> None:
    rest = (number << 1) ^ (number >> 63)
    data = bytearray()
    while rest >= 0x80:
        data.append(rest & 0x7F | 0x80)
        rest >>= 7
    assert CompactReader(bytes([*data, rest])).integer() == number


@pytest.mark.parametrize(
    "data",
    [
        b"\x15" + b"\x80" * 10 + b"\x01\x00",  # an integer without an end
        b"\x15" + b"\x80" * 9 + b"\x02\x00",  # of more than 64 bits
        b"\x15\x02\x05\x02\x02\x00",  # field 1 twice
        b"\x05\x82\x80\x08\x02\x00",  # field 65,537: field 1 for readers that keep 16 bits
        b"\x05\x81\x80\x08\x02\x00",  # field -65,537
        b"\x1b\x00\x00",  # a map
        b"\x1e\x00",  # an unknown type
        b"\x1c" * 100,
        b"\x19\x19" * 50 + b"\x19\x15",
    ],
)
def test_damage(data: bytes) -> None:
    with pytest.raises(ValueError, match="a Thrift structure is damaged"):
        CompactReader(data).integers(INT64)


@pytest.mark.parametrize(
    "data", [b"", b"\x15", b"\x15\x02", b"\x18\x7f\x00", b"\x17\x00", b"\x19\xfc\xff\x7f"]
)
def test_the_end_is_missing(data: bytes) -> None:
    with pytest.raises(IndexError):
        CompactReader(data).integers(INT64)
