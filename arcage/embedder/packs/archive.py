"""Unpack the ONNX files of a downloaded zip file, which is not trusted."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import IO, cast

from arcage.errors import ArcageError, ModelError
from arcage.files import atomic_write

MAX_UNPACKED = 2 << 30
"""Maximum size of all files together, bytes."""
MAX_RATIO, MAX_SMALL = 20, 64 << 20
"""Maximum of that size in relation to the zip file, and the size below which it may be more. Networks are
compressed very little."""
MAX_FILES = 100
"""Maximum number of ONNX files."""
_MAX_DIRECTORY = 1 << 20
"""Maximum size of the list of members, bytes. Python creates an object for each member before they can be
counted."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other methods take as much memory as the zip file demands."""


class _Archive:
    """The zip file, which refuses to return a list of members that is too long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        # Without a size, zipfile reads the last 64 KiB.
        if size > _MAX_DIRECTORY:
            raise _not_a_pack("has too many members")
        return self._file.read(size)


def unpack(archive: IO[bytes], url: str, folder: Path) -> dict[str, str]:
    """Unpack the archive's ONNX files into a folder.

    Args:
        archive: the zip file.
        url: of the zip file, for messages.
        folder: an empty folder.

    Returns:
        The SHA-256 of each file, by name.

    Raises:
        ModelError: the zip file is damaged, contains unsafe names, or exceeds a limit of this module.
        OutputError: a file cannot be written.
    """
    digests = {}
    try:
        with zipfile.ZipFile(cast(IO[bytes], _Archive(archive))) as opened:
            members = _members(opened)
            _check_sizes(members, archive.seek(0, os.SEEK_END))
            for name, member in members.items():
                digest = hashlib.sha256()
                with opened.open(member) as source, atomic_write(folder / name) as file:
                    while data := source.read(1 << 20):
                        digest.update(data)
                        file.write(data)
                digests[name] = digest.hexdigest()
    except ArcageError:
        raise
    except Exception as error:  # zipfile and its decompressors raise many types
        # The text may quote names in the zip file, of any length.
        text = ascii(str(error)[:200])[1:-1]
        raise ModelError(f"{url} is a damaged zip file ({text}); it was removed: fetch it again") from error
    return digests


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the ONNX files by the names to write. Only ``x.onnx`` and ``FOLDER/x.onnx`` are allowed."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.is_dir() or not member.filename.lower().endswith(".onnx"):
            continue
        match = re.fullmatch(r"(?:\w[\w.-]{,99}/)?(\w[\w.-]{,99})", member.filename, re.ASCII)
        name = match[1] if match else ""
        # Some file systems do not tell upper from lower case.
        taken = name.casefold() in {other.casefold() for other in found}
        if not name or taken or stat.S_ISLNK(member.external_attr >> 16):
            raise ModelError(
                f"the zip file contains {member.filename[:200]!a}, which does not belong in a model pack: it "
                "is not InsightFace's, and was removed"
            )
        if member.compress_type not in _METHODS:
            raise _not_a_pack("is packed by a method other than deflate")
        found[name] = member
        if len(found) > MAX_FILES:
            raise _not_a_pack(f"contains more than {MAX_FILES} ONNX files")
    return found


def _check_sizes(members: dict[str, zipfile.ZipInfo], size: int) -> None:
    """Check what the zip file says about its size; zipfile does not unpack more."""
    unpacked = sum(member.file_size for member in members.values())
    if unpacked > MAX_UNPACKED:
        raise _not_a_pack(f"unpacks to more than {MAX_UNPACKED:,} bytes")
    if unpacked > max(MAX_SMALL, MAX_RATIO * size):
        raise _not_a_pack(f"unpacks to more than {MAX_RATIO} times its size")


def _not_a_pack(text: str) -> ModelError:
    return ModelError(f"the zip file {text}, so it is not a model pack; it was removed")
