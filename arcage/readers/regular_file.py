"""Read regular files up to a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class FileKindError(ValueError):
    """A path is a folder, pipe or device, or the file is too large."""


def check_regular(path: str | Path) -> os.stat_result:
    """Check that a path is a regular file, or a link to one, without opening it: a pipe would wait.

    Raises:
        OSError: the path does not exist or may not be read.
        FileKindError: it is a folder, pipe or device.
        ValueError: it is not a valid path.
    """
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise FileKindError("is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise FileKindError("not a regular file but a pipe, socket or device")
    return status


def read_regular(path: str | Path, max_bytes: int) -> bytes:
    """Return the content of a regular file, or of the file that a link leads to.

    Args:
        path: file.
        max_bytes: limit of the size. It is checked before any memory is taken.

    Raises:
        OSError: the path does not exist or may not be read, or the disk fails.
        FileKindError: it is a folder, pipe or device, or larger than ``max_bytes``.
        ValueError: it is not a valid path.
    """
    size = check_regular(path).st_size
    if size > max_bytes:
        raise FileKindError(f"too large: {size:,} bytes, the limit is {max_bytes:,}")
    with open(path, "rb", buffering=0) as file:
        return file.readall()
