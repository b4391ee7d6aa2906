"""NumPy arrays from ``.npy`` files that anyone may have written or damaged.

NumPy's reader evaluates the header as Python, accepts pickled objects, and allocates what a header claims.
This one accepts plain numbers only, as NumPy writes them, and compares the size first.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arcage.readers.regular_file import read_regular

DTYPES = frozenset({"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"})
"""The element types that are read."""
MAX_BYTES = 1 << 30
"""Default limit of an array's file: 1 GiB."""

_MAGIC = b"\x93NUMPY\x01\x00"
_START = len(_MAGIC) + 2
# Up to 8 dimensions of up to 18 digits, so that their product takes neither time nor memory.
_NUMBER = rb"(?:0|[1-9]\d{0,17})"
_HEADER = re.compile(
    rb"\{'descr': '(?P<dtype>[|<][uif][1248])', 'fortran_order': (?P<fortran>False|True), 'shape':"
    rb" \((?P<shape>|%b,|%b(?:, %b){1,7})\), \} *\n" % (_NUMBER, _NUMBER, _NUMBER)
)


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """The header of a ``.npy`` file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    """Whether the first axis is contiguous."""
    offset: int
    """Position of the first element, bytes."""

    @property
    def nbytes(self) -> int:
        """Size of the elements, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(data: bytes | memoryview, size: int | None = None) -> NpyHeader:
    """Read the header of a ``.npy`` file.

    Args:
        data: the file, or the beginning of it with the complete header.
        size: of the file; default: that of ``data``.

    Raises:
        ValueError: it is not a header of version 1.0 as NumPy writes it, its type is not in :data:`DTYPES`,
            or its shape does not fit the size exactly. The message is short and has no path.
    """
    size = len(data) if size is None else size
    if bytes(data[: len(_MAGIC)]) != _MAGIC or len(data) < _START:
        raise ValueError("not a .npy file of version 1.0")
    offset = _START + int.from_bytes(data[_START - 2 : _START], "little")
    match = _HEADER.fullmatch(bytes(data[_START:offset]))
    if match is None or offset > len(data):
        raise ValueError("the header is not as NumPy writes it")
    dtype = match["dtype"].decode()
    if dtype not in DTYPES:
        raise ValueError(f"the type {dtype} is not read")
    shape = tuple(int(number) for number in match["shape"].split(b",") if number)
    header = NpyHeader(np.dtype(dtype), shape, match["fortran"] == b"True", offset)
    if offset + header.nbytes != size:
        raise ValueError(f"{size:,} bytes do not fit {dtype} of shape {shape}")
    return header


def parse_npy(data: bytes | memoryview) -> NDArray[Any]:
    """Return the array in the bytes of a ``.npy`` file. It is read-only and shares their memory.

    Raises:
        ValueError: see :func:`read_header`.
    """
    header = read_header(data)
    elements = np.frombuffer(data, header.dtype, math.prod(header.shape), header.offset)
    elements.flags.writeable = False
    return elements.reshape(header.shape, order="F" if header.fortran_order else "C")


def load_npy(path: str | Path, *, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Read a ``.npy`` file into memory, as a read-only array.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is larger than ``max_bytes``, a folder, pipe or device, or as in :func:`read_header`.
    """
    return parse_npy(read_regular(path, max_bytes))
