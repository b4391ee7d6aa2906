"""Unpack the ONNX files of a downloaded zip file, which is not trusted."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from pathlib import Path
from typing import IO

from arcage.errors import ArcageError, ModelError
from arcage.files import atomic_write

MAX_UNPACKED = 2 << 30
"""Maximum size of all files together, bytes."""


def unpack(archive: IO[bytes], url: str, folder: Path) -> dict[str, str]:
    """Unpack the archive's ONNX files into a folder.

    Args:
        archive: the zip file.
        url: of the zip file, for messages.
        folder: an empty folder.

    Returns:
        The SHA-256 of each file, by name.

    Raises:
        ModelError: the zip file is damaged, too large, or contains unsafe names.
        OutputError: a file cannot be written.
    """
    digests = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for name, member in _members(opened).items():
                digest = hashlib.sha256()
                with opened.open(member) as source, atomic_write(folder / name) as file:
                    while data := source.read(1 << 20):
                        digest.update(data)
                        file.write(data)
                digests[name] = digest.hexdigest()
    except ArcageError:
        raise
    except Exception as error:  # zipfile and its decompressors raise many types
        raise ModelError(f"{url} is a damaged zip file ({error}); it was removed: fetch it again") from error
    return digests


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the ONNX files by the names to write. Only ``x.onnx`` and ``FOLDER/x.onnx`` are allowed."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.is_dir() or not member.filename.lower().endswith(".onnx"):
            continue
        match = re.fullmatch(r"(?:\w[\w.-]*/)?(\w[\w.-]*)", member.filename, re.ASCII)
        if not match or match[1] in found or stat.S_ISLNK(member.external_attr >> 16):
            raise ModelError(
                f"the zip file contains {member.filename!a}, which does not belong in a model pack: it is "
                "not InsightFace's, and was removed"
            )
        found[match[1]] = member
    if sum(member.file_size for member in found.values()) > MAX_UNPACKED:
        raise ModelError(
            f"the zip file unpacks to more than {MAX_UNPACKED:,} bytes, so it is not a model pack; it was "
            "removed"
        )
    return found
