"""Headers of .npy files: those that NumPy writes are read, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from arcage.readers.npy import DTYPES, load_npy, parse_npy, read_header


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


GOOD = saved(np.arange(24, dtype=np.float16).reshape(6, 4))


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (4, 0), (2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_writes_them(dtype: str, shape: tuple[int, ...], order: str) -> None:
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape).astype(dtype), order=order)
    found = parse_npy(saved(array))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert found.flags.c_contiguous == array.flags.c_contiguous
    assert not found.flags.writeable


def test_a_header_is_read_from_the_beginning_of_a_file() -> None:
    header = read_header(GOOD[:128], len(GOOD))
    assert (header.dtype, header.shape, header.offset, header.nbytes) == (np.float16, (6, 4), 128, 48)
    with pytest.raises(ValueError, match="128 bytes do not fit <f2"):
        read_header(GOOD[:128])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x93NUMPY\x01", b"\x93NUMPY\x02"),
        (b"\x93NUMPY", b"\x93NUMPX"),
        (b"v\x00{", b"V\x00{"),  # the header ends inside its padding
        (b"v\x00{", b"\x00\x00{"),
        (b"v\x00{", b"\xff\xff{"),
        (b"'<f2'", b"'>f2'"),
        (b"'<f2'", b"'|O'"),
        (b"'<f2'", b"'<c8'"),
        (b"'<f2'", b"'<f1'"),
        (b"'<f2'", b"'|b1'"),
        (b"'<f2'", b"[('a', '<f2')]"),
        (b"'<f2'", b"'<f4'"),
        (b"False", b"0"),
        (b"(6, 4)", b"(-6, -4)"),
        (b"(6, 4)", b"(6L, 4)"),
        (b"(6, 4)", b"(06, 4)"),
        (b"(6, 4)", b"(6, 4, 2)"),
        (b"(6, 4)", b"(0, " + b"9" * 18 + b", 9)"),
        (b"(6, 4)", b"(999999999999999999, 999999999999999999)"),
        (b"(6, 4)", b"(9223372036854775808, 4)"),
        (b"(6, 4)", b"(6, 4.0)"),
        (b"(6, 4)", b"(6, True)"),
        (b"(6, 4)", b"(" + b"1, " * 8 + b"24)"),
        (b"(6, 4)", b"(((((((((6, 4)))))))))"),
        (b"(6, 4)", b"(" + b"9" * 50 + b",)"),
        (b"(6, 4)", "(６, 4)".encode()),
        (b"'shape'", b"'shapes'"),
        (b" \n", b"  "),
        (b", }", b", 'more': 1, }"),
        (b", }", b", }; print(1) #"),
    ],
)
def test_other_headers_are_refused(old: bytes, new: bytes) -> None:
    assert GOOD.count(old) == 1
    before, after = GOOD[:128].split(old)
    header = before + new + after
    # Of the same length, so that nothing but the change is wrong.
    if len(new) > len(old) and header.count(b" \n"):
        header = header.replace(b" " * (len(new) - len(old)) + b"\n", b"\n", 1)
    with pytest.raises(ValueError, match=r"\.npy file|header|type|do not fit"):
        parse_npy(header + GOOD[128:])


@pytest.mark.parametrize(
    "data", [b"", GOOD[:7], GOOD[:9], GOOD[:60], GOOD[:-1], GOOD + b"\0", b"PK\3\4" * 40]
)
def test_incomplete_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\.npy file|header|do not fit"):
        parse_npy(data)


def test_pickled_objects_are_refused() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="header"):
        parse_npy(buffer.getvalue())


def test_files_are_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(GOOD)
    np.testing.assert_array_equal(load_npy(path), np.load(path))
    with pytest.raises(ValueError, match="too large"):
        load_npy(path, max_bytes=len(GOOD) - 1)
    with pytest.raises(ValueError, match="folder"):
        load_npy(tmp_path)
