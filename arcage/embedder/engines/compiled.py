"""Compiled networks kept on disk for the next start, each with a checksum.

A file is the runtime's own format, followed by a trailer::

    blob | key, 32 bytes | length of the blob, 8 bytes | CRC-32 of the three parts before it | mark

The key is a SHA-256 of everything that made the blob. The runtime uses a blob without checking it, so a file
whose trailer does not match is never given to it.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import stat
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from arcage.errors import OutputError
from arcage.files import atomic_write, cache_home
from arcage.types import U8

_MARK = b"arcage compiled network 1\n"
_KEY, _LENGTH, _CHECKSUM = 32, 8, 4
_TRAILER = _KEY + _LENGTH + _CHECKSUM + len(_MARK)
# Fits into the processor's cache. Read, not memory-mapped: a bad sector is then an error, not a signal.
_CHUNK = 1 << 18


def compiled_folder() -> Path | None:
    """Return the folder of compiled networks, which is made if needed; None if it cannot be written.

    Reading a compiled network takes a tenth of the time of compiling it. Without the folder (a read-only home
    folder, or none), arcage starts one second later.
    """
    home = cache_home()
    if home is None:
        return None
    folder = home / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@dataclass(frozen=True, slots=True)
class CompiledFile:
    """The file of one compiled network, which may not exist.

    Args:
        folder: from :func:`compiled_folder`.
        made_from: everything that made the blob: the model's SHA-256, shape, settings, runtime, processor.
    """

    folder: Path
    made_from: str

    @property
    def path(self) -> Path:
        """The file. Its name is the start of the key."""
        return self.folder / f"{self._key.hex()[:32]}.blob"

    def read(self) -> U8 | None:
        """Return the blob, shape (bytes,), memory-mapped; None if the file is missing, damaged or another's.

        A damaged file is not an error: the network is compiled again, and replaces it.
        """
        with suppress(OSError, ValueError), _open_regular(self.path) as file:
            length, key = _verified(file)
            if length and key == self._key:
                return np.memmap(file, np.uint8, "c", shape=(length,))
        return None

    def write(self, blob: Any) -> None:
        """Keep a blob, a bytes-like object. Nothing happens if the file cannot be written."""
        size = memoryview(blob).nbytes
        head = self._key + size.to_bytes(_LENGTH, "little")
        checksum = zlib.crc32(head, zlib.crc32(blob))
        with suppress(OutputError), atomic_write(self.path) as file:
            file.write(blob)
            file.write(head + checksum.to_bytes(_CHECKSUM, "little") + _MARK)

    @property
    def _key(self) -> bytes:
        return hashlib.sha256(_MARK + self.made_from.encode()).digest()


def forget(blob: U8) -> None:
    """Give back the memory of a blob from :meth:`CompiledFile.read`. What is used later is read again.

    The blob must not have been written to.
    """
    mapped = blob.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def check_compiled(path: Path) -> Literal["right", "damaged", "unknown"]:
    """Return the state of a file. ``unknown``: cut off, or from a version of arcage without checksums."""
    try:
        with _open_regular(path) as file:
            file.seek(-min(len(_MARK), os.fstat(file.fileno()).st_size), os.SEEK_END)
            if file.read() != _MARK:
                return "unknown"
            length, key = _verified(file)
            return "right" if length and path.stem == key.hex()[:32] else "damaged"
    except (OSError, ValueError):
        return "damaged"


def _open_regular(path: Path) -> io.FileIO:
    """Open a regular file.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file.
    """
    # Before opening the file: opening a pipe would wait for its writer.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is not a regular file")
    return io.FileIO(path)


def _verified(file: io.FileIO) -> tuple[int, bytes]:
    """Return the length of the blob in a file, in bytes, and its key; the length is 0 if it is damaged."""
    length = os.fstat(file.fileno()).st_size - _TRAILER
    if length <= 0:
        return 0, b""
    file.seek(length)
    trailer = file.read()
    head, checksum = trailer[: _KEY + _LENGTH], trailer[_KEY + _LENGTH :]
    if checksum[_CHECKSUM:] != _MARK or int.from_bytes(head[_KEY:], "little") != length:
        return 0, b""
    file.seek(0)
    found, left = 0, length
    buffer = memoryview(bytearray(_CHUNK))
    while left and (count := file.readinto(buffer[:left])):
        found, left = zlib.crc32(buffer[:count], found), left - count
    right = not left and zlib.crc32(head, found) == int.from_bytes(checksum[:_CHECKSUM], "little")
    return (length if right else 0), head[:_KEY]
