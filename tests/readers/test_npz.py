"""The strict reader of .npz files."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from typing import Any

import numpy as np
import pytest

from arcage.readers.npz import MAX_ARRAYS, parse_npz

ARRAYS = {
    "a.b": np.arange(12, dtype=np.float32).reshape(3, 4),
    "c": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "scalar": np.array(7, np.int32),
    "empty": np.empty((3, 0), np.float16),
}


def npz(arrays: dict[str, Any] = ARRAYS, save: Any = np.savez_compressed) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(save: Any) -> None:
    read = parse_npz(npz(save=save))
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a .npz"),
        (b"PK", "not a .npz"),
        (npz()[:-1], "not a .npz"),
        (npz() + b"\0", "not a .npz"),
        (b"x" + npz(), "not a .npz"),
        (npz({"a": np.array([{}], object)}), "NumPy writes|type"),
        (npz({"a": np.array(["x"])}), "NumPy writes|type"),
        (npz({"a": np.zeros(3, [("x", "<f4")])}), "NumPy writes|type"),
        (zipped({"a.npy": b"hello"}), "not a .npy"),
        (zipped({"a.npy": npy(np.zeros(9))[:-1]}), "do not fit"),
        (zipped({"a.npy": npy(np.zeros(9)) + b"\0"}), "do not fit"),
        (zipped({"../a.npy": npy(np.zeros(9))}), "not the name"),
        (zipped({"a.txt": npy(np.zeros(9))}), "not the name"),
        (zipped({"a.npy": npy(np.zeros(9))}, zipfile.ZIP_LZMA), "in a way"),
        (zipped({f"{n}.npy": b"" for n in range(MAX_ARRAYS + 1)}), "more than 256 arrays"),
        (zipped({"a.npy": b"\0" * (1 << 20), "b.npy": b"\0" * (1 << 20)}), "more than 1,048,576 bytes"),
    ],
)
def test_refuses_everything_else(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_npz(data, max_bytes=1 << 20)


def test_a_size_that_lies_takes_no_memory_or_time() -> None:
    """The directory says 100 bytes, and the content has 50 MB."""
    data = bytearray(zipped({"a.npy": b"\0" * 50_000_000}))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    start = time.process_time()
    with pytest.raises(ValueError, match=r"CRC|npy"):
        parse_npz(bytes(data))
    assert time.process_time() - start < 0.1


def test_a_directory_without_end_is_refused_at_once() -> None:
    entries = zipped({str(n): b"" for n in range(40_000)}, zipfile.ZIP_STORED)
    start = time.process_time()
    with pytest.raises(ValueError, match="more than 256 arrays"):
        parse_npz(entries)
    assert time.process_time() - start < 0.1


def test_two_arrays_of_one_name_are_refused() -> None:
    data = zipped({"a.npy": npy(np.zeros(9)), "b.npy": npy(np.ones(9))}).replace(b"b.npy", b"a.npy")
    with pytest.raises(ValueError, match="same name"):
        parse_npz(data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_changed_byte_is_refused_or_changes_nothing(save: Any) -> None:
    whole = npz(save=save)
    rng = np.random.default_rng(0)
    refused = 0
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        try:
            read = parse_npz(bytes(data))
        except ValueError:
            refused += 1
            continue
        for name, array in read.items():
            if name in ARRAYS:
                np.testing.assert_array_equal(array, ARRAYS[name])
    assert refused > len(whole) / 3


def test_other_methods_and_encryption_are_refused() -> None:
    for offset, value in ((8, 1), (8, 0x20), (10, 99), (10, 12)):
        data = bytearray(npz())
        at = data.rindex(b"PK\x01\x02")
        data[at + offset] = value
        with pytest.raises(ValueError, match=r"."):
            parse_npz(bytes(data))
