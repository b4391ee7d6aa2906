"""NumPy arrays from ``.npz`` files that anyone may have written or damaged."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from numpy.typing import NDArray

from arcage.readers.npy import parse_npy

MAX_BYTES = 1 << 28
"""Default limit of the file, and of its arrays together: 256 MiB."""
MAX_ARRAYS = 256
"""Limit of the number of arrays."""

_FIRST, _END, _ZIP64 = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES = 22, 20
_ENTRY_BYTES = 46 + 128 + 32
"""Limit of an entry in the directory of the file: fixed part, name and extra field."""
_NAME = re.compile(r"([A-Za-z0-9_.-]{1,100})\.npy")
_ENCRYPTED = 0x41
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def parse_npz(data: bytes, *, max_bytes: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` file as ``numpy.savez`` and ``numpy.savez_compressed`` write it.

    The arrays are read-only. Nothing is unpickled; see :mod:`arcage.readers.npy`.

    Args:
        data: the file.
        max_bytes: limit of the arrays together, which is checked before they are unpacked.

    Raises:
        ValueError: it is not such a file, too large, or damaged. The message is short and has no path.
    """
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members, max_bytes)
            return {member.filename[:-4]: parse_npy(_content(archive, member)) for member in members}
    except ValueError:
        raise
    except Exception as error:  # zipfile and zlib raise errors of many kinds
        raise ValueError(str(error)[:100] or type(error).__name__) from None


def _check_directory(data: bytes) -> None:
    """Check the record at the end, because zipfile reads a directory of any length without a limit."""
    end = data[-_END_BYTES:]
    # zipfile prefers the directory of a Zip64 record, which NumPy writes from 4 GiB.
    locator = data[-_END_BYTES - _LOCATOR_BYTES :][: len(_ZIP64)]
    if data[: len(_FIRST)] != _FIRST or end[: len(_END)] != _END or end[-2:] != b"\0\0" or locator == _ZIP64:
        raise ValueError("not a .npz file as NumPy writes it")
    if int.from_bytes(end[12:16], "little") > MAX_ARRAYS * _ENTRY_BYTES:
        raise ValueError(f"more than {MAX_ARRAYS} arrays")


def _check_members(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two arrays have the same name")
    if len(members) > MAX_ARRAYS:
        raise ValueError(f"more than {MAX_ARRAYS} arrays")
    for member in members:
        if not _NAME.fullmatch(member.filename):
            raise ValueError(f"{member.filename[:50]!r} is not the name of an array")
        if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{member.filename} is compressed or encrypted in a way that NumPy does not use")
    if sum(member.file_size for member in members) > max_bytes:
        raise ValueError(f"the arrays have more than {max_bytes:,} bytes")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        # One more byte than it should have, so that the checksum is compared.
        return file.read(member.file_size + 1)
