"""Check the structure of an ONNX file before any library reads it.

An ONNX file is a message of Protocol Buffers, which this module walks without copying weights. It refuses
what the readers of ONNX would follow or allocate without question: weights in other files, tensors whose
shape does not fit their data, loops, and millions of small messages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from arcage.errors import ModelError

MAX_MODEL_BYTES = 1 << 29
"""Largest model file: 512 MiB. The largest of InsightFace's packs has 261 MB."""
_MAX_FIELDS = 1_000_000
"""Fields of all messages; a network with a thousand nodes has 30,000."""
_MAX_DEPTH = 4
"""Levels of nested graphs, the branches of If."""
_MAX_SIZE = 1 << 40
_LOOPS = frozenset({b"Loop", b"Scan", b"SequenceMap"})

_BITS = {
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    14: 64,
    15: 128,
    16: 16,
    17: 8,
    18: 8,
    19: 8,
    20: 8,
    21: 4,
    22: 4,
    23: 4,
    24: 8,
    25: 2,
    26: 2,
}
"""Bits of an element, by the number of the data type (``onnx.TensorProto.DataType``)."""
_STRING = 8
_EXTERNAL = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Value = int | memoryview


def check_onnx(data: bytes, *, external: bool = False) -> None:
    """Check the bytes of an ONNX file.

    Args:
        data: of the file.
        external: allow weights in other files, which are not checked here.

    Raises:
        ModelError: the file is damaged, or has something that no face network needs.
    """
    try:
        _Walk(external).model(memoryview(data))
    except (IndexError, _DamagedError) as error:
        detail = f" ({error})" if isinstance(error, _DamagedError) else ""
        raise ModelError(f"this is not an ONNX file, or it is damaged{detail}: get it again") from None


class _DamagedError(Exception):
    """The bytes are not a message of ONNX."""


@dataclass(slots=True)
class _Tensor:
    """What the fields of a tensor say about its size."""

    dims: list[int] = field(default_factory=list)
    kind: int = 0
    raw: int = -1
    """Length of the raw data, bytes; -1 without."""
    typed: int = 0
    """Length of data in fields of their type, bytes. Each element takes one or more."""
    strings: int = 0


class _Walk:
    """One walk through a file. The numbers are those of the fields in onnx.proto."""

    def __init__(self, external: bool) -> None:
        self._left = _MAX_FIELDS
        self._external = external

    def model(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == 7:
                self._graph(_message(value), 1)
            elif number == 25:
                self._function(_message(value))
            elif number == 20:
                raise ModelError("the model has instructions for training: export it for inference")

    def _function(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == 7:
                self._node(_message(value), 1)
            elif number == 11:
                self._attribute(_message(value), 1)

    def _graph(self, data: memoryview, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ModelError(f"the model has graphs within graphs, more than {_MAX_DEPTH} levels")
        for number, value in self._fields(data):
            if number == 1:
                self._node(_message(value), depth)
            elif number == 5:
                self._tensor(_message(value))
            elif number == 15:
                self._sparse(_message(value))

    def _node(self, data: memoryview, depth: int) -> None:
        for number, value in self._fields(data):
            if number == 4 and bytes(_message(value)) in _LOOPS:
                raise ModelError(
                    f"the model has a loop ({bytes(_message(value)).decode()}), which no face network needs: "
                    "export it without"
                )
            if number == 5:
                self._attribute(_message(value), depth)

    def _attribute(self, data: memoryview, depth: int) -> None:
        for number, value in self._fields(data):
            if number in (5, 10):
                self._tensor(_message(value))
            elif number in (6, 11):
                self._graph(_message(value), depth + 1)
            elif number in (22, 23):
                self._sparse(_message(value))

    def _sparse(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number in (1, 2):
                self._tensor(_message(value))

    def _tensor(self, data: memoryview) -> None:
        found, elsewhere = _Tensor(), False
        for number, value in self._fields(data):
            if number == 1:
                found.dims += [value] if isinstance(value, int) else self._varints(value)
            elif number == 2:
                found.kind = _number(value)
            elif number in (4, 5, 7, 10, 11):  # float, int32, int64, double and uint64 data
                found.typed += len(value) if isinstance(value, memoryview) else 8
            elif number == 6:
                found.strings += 1
            elif number == 9:
                found.raw = len(_message(value))
            elif number == 13 or (number == 14 and value == _EXTERNAL):
                elsewhere = True
                if self._external:
                    continue
                raise ModelError(
                    "the model keeps its weights in another file, which is not read: save it as one file "
                    "(onnx.save_model with save_as_external_data=False)"
                )
        if not elsewhere:
            _check_size(found)

    def _varints(self, data: memoryview) -> list[int]:
        at, found = 0, []
        while at < len(data):
            value, at = _varint(data, at)
            found.append(value)
            self._count()
        return found

    def _fields(self, data: memoryview) -> Iterator[tuple[int, _Value]]:
        """Yield the number and the value of each field of a message."""
        at, size = 0, len(data)
        while at < size:
            self._count()
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            value: _Value
            if wire == _VARINT:
                value, at = _varint(data, at)
            else:
                if wire == _BYTES:
                    length, at = _varint(data, at)
                elif wire in (_FIXED32, _FIXED64):
                    length = 4 if wire == _FIXED32 else 8
                else:
                    raise _DamagedError(f"wire type {wire}")
                if length > size - at:
                    raise _DamagedError("a part is longer than the whole")
                value = data[at : at + length] if wire == _BYTES else 0
                at += length
            if not number:
                raise _DamagedError("field number 0")
            yield number, value

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ModelError(f"the model has more than {_MAX_FIELDS:,} parts: this is not a face network")


def _check_size(tensor: _Tensor) -> None:
    """Check that a tensor's shape fits its data."""
    if any(dim < 0 or dim > _MAX_SIZE for dim in tensor.dims) or len(tensor.dims) > 8:
        raise _DamagedError(f"a tensor of the shape {tensor.dims[:8]}")
    count = math.prod(tensor.dims)
    if tensor.kind == _STRING:
        right = count == tensor.strings and tensor.raw < 0
    elif tensor.kind not in _BITS:
        raise _DamagedError(f"a tensor of the type {tensor.kind}")
    elif tensor.raw >= 0:
        right = tensor.raw == (count * _BITS[tensor.kind] + 7) // 8
    else:
        # Two of 4 bits, and more of 2 bits, are in one byte.
        right = count <= tensor.typed * 4
    if not right:
        raise _DamagedError(f"a tensor of the shape {tensor.dims} has other data")


def _message(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise _DamagedError("a number instead of a message")
    return value


def _number(value: _Value) -> int:
    if not isinstance(value, int):
        raise _DamagedError("a message instead of a number")
    return value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer, signed, and the place behind it. Raises IndexError at the end."""
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    value, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise _DamagedError("a number of more than 64 bits")
    value &= (1 << 64) - 1
    return (value - (1 << 64) if value >> 63 else value), at
