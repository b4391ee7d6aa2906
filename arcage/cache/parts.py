"""A folder of parts that are written once: each is there as a whole, or not at all.

A part is a few files of one base name and a marker, ``<name>.done``, that is renamed into place after the
files are safely on disk. It says how long the files are, which catches a full disk or a copy that broke off,
and what their sha256 is. Readers look at nothing but markers, so a writer that dies leaves no half part
behind, and writers that share the folder cannot meet: every name is their own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arcage.errors import CacheError
from arcage.files import DAY

MARKER = "done"
TEMPORARY = "tmp"

_NAME = r"\d{8}T\d{12}-[0-9a-f]{12}"

# Some network and FUSE file systems cannot sync a folder; they order renames by other means or not at all.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}

# Trouble of the process or its rights, which says nothing about the file's content.
_NOT_THE_FILE = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DamageError(Exception):
    """A part that is marked as done cannot be used. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A part that is marked as done and is not as it was written. Its text says what to do."""

    path: Path
    """Of its marker."""
    reason: str

    def __str__(self) -> str:
        return (
            f"damaged in the cache, {self.path.with_suffix('')}.*: {self.reason}. Delete these files and run"
            " the same extraction again: only what they held is computed anew."
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One part that is complete, as its marker tells."""

    folder: Path
    name: str
    facts: Mapping[str, Any] = field(compare=False)
    """The marker's content."""

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"

    def damaged(self, reason: str) -> Damaged:
        return Damaged(self.path(MARKER), reason)


class PartFolder:
    """The parts in one folder: ``suffixes`` names the files of each, ``stamp`` is what all markers share."""

    def __init__(self, path: Path, suffixes: Sequence[str], stamp: Mapping[str, object]) -> None:
        self.path = path
        self.suffixes = tuple(suffixes)
        self.stamp = dict(stamp)

    def write(self, files: Mapping[str, Sequence[Any]], facts: Mapping[str, object]) -> Part:
        """Write one part: for each suffix the buffers (bytes-like, one-dimensional) that make up the file.

        When this returns, the part survives a power cut. On any failure its files are removed again and
        the error goes on: OSError for a full disk and the like.
        """
        name = unique_name()
        marker = self.path / f"{name}.{MARKER}"
        try:
            written = {
                suffix: write_file(self.path / f"{name}.{suffix}", chunks) for suffix, chunks in files.items()
            }
            sync_folder(self.path)
            content = {**self.stamp, **facts, "files": written}
            write_file(marker, [json.dumps(content, indent=1).encode()])
        except BaseException:
            # An interrupt can come just after the marker was renamed: then others may be reading it already.
            if not marker.exists():
                for suffix in files:
                    with contextlib.suppress(OSError):
                        (self.path / f"{name}.{suffix}").unlink(missing_ok=True)
            raise
        sync_folder(self.path)
        return Part(self.path, name, content)

    def scan(self, known: Sequence[Part] = ()) -> tuple[tuple[Part, ...], tuple[Damaged, ...]]:
        """The complete parts in the order of their names, and the damaged ones.

        Markers of ``known`` parts are not read again; their files' sizes are checked all the same. Raises
        CacheError where the folder cannot be read; a folder that does not exist has no parts.
        """
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            return (), ()
        except OSError as error:
            raise read_error(self.path, error) from error
        before = {part.name: part for part in known}
        parts: list[Part] = []
        damaged: list[Damaged] = []
        for name in sorted(_marked(entries)):
            try:
                part = before.get(name) or self._read_marker(name)
                if part is not None:
                    self._check(part)
                    parts.append(part)
            except DamageError as error:
                damaged.append(Damaged(self.path / f"{name}.{MARKER}", str(error)))
        return tuple(parts), tuple(damaged)

    def verify(self, part: Part) -> Damaged | None:
        """Read every file of a part and compare its sha256 with the marker: None where all is well."""
        for suffix in self.suffixes:
            path = part.path(suffix)
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise_unless_damage(error, path)
                return part.damaged(f"{path.name} cannot be read ({error.strerror})")
            if found != part.facts["files"][suffix]["sha256"]:
                return part.damaged(f"{path.name} has changed since it was written")
        return None

    def unfinished(self) -> list[Path]:
        """Return arcage's files without a marker, from writers that are running or were killed.

        Raises CacheError if the folder cannot be read.
        """
        try:
            entries = sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise read_error(self.path, error) from error
        marked = _marked(entries)
        endings = "|".join((*self.suffixes, MARKER))
        # The second form is a temporary file that was to replace one with a name of its own.
        ours = re.compile(rf"(?P<name>{_NAME})\.({endings})(\.{TEMPORARY})?|.*\.{_NAME}\.{TEMPORARY}")
        return [
            self.path / entry
            for entry in entries
            if (match := ours.fullmatch(entry)) and match["name"] not in marked
        ]

    def clean(self, older_than: float = DAY) -> list[Path]:
        """Remove what killed writers left behind: :meth:`unfinished` files, ``older_than`` seconds old.

        Returns the removed files. Files that arcage did not write stay.
        """
        removed: list[Path] = []
        for path in self.unfinished():
            try:
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink()
                    removed.append(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise write_error(self.path, error) from error
        return removed

    def _read_marker(self, name: str) -> Part | None:
        path = self.path / f"{name}.{MARKER}"
        try:
            facts = json.loads(path.read_bytes())
            complete = isinstance(facts["rows"], int) and all(
                isinstance(facts["files"][suffix]["bytes"], int)
                and isinstance(facts["files"][suffix]["sha256"], str)
                for suffix in self.suffixes
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_unless_damage(error, path)
            raise DamageError(f"the marker cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError):
            complete = False
        if not complete:
            raise DamageError("the marker is not of a form that arcage writes")
        for key, expected in self.stamp.items():
            if facts.get(key) != expected:
                raise DamageError(f"written with another {key} ({facts.get(key)}, here it is {expected})")
        return Part(self.path, name, facts)

    def _check(self, part: Part) -> None:
        for suffix in self.suffixes:
            path = part.path(suffix)
            expected = part.facts["files"][suffix]["bytes"]
            # Asked of each file, not taken from the listing: a listing may show a marker that is renamed
            # while it runs and lack the files that were there before it.
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                raise DamageError(f"{path.name} is missing") from None
            except OSError as error:
                raise read_error(path, error) from error
            if size != expected:
                raise DamageError(f"{path.name} has {size} bytes instead of {expected}")


def unique_name() -> str:
    """A base name that sorts by time and that nobody else can pick."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(6)}"


def write_file(path: Path, chunks: Sequence[Any], *, temporary: Path | None = None) -> dict[str, object]:
    """Write a file that appears under its name as a whole and on disk. Returns its size and sha256."""
    temporary = temporary or path.with_name(f"{path.name}.{TEMPORARY}")
    digest = hashlib.sha256()
    size = 0
    try:
        with temporary.open("xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return {"bytes": size, "sha256": digest.hexdigest()}


def sync_folder(path: Path) -> None:
    """Make the renames in a folder survive a power cut, where the system can."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(folder)


def raise_unless_damage(error: OSError, path: Path) -> None:
    """Raise CacheError where the error is of the process or its rights, which is no damage to the file."""
    if error.errno in _NOT_THE_FILE:
        raise read_error(path, error) from error


def read_error(path: Path, error: OSError) -> CacheError:
    return CacheError(
        f"cannot read {path} in the cache: {error.strerror or error}. Check that the folder is there and that"
        " you may read it."
    )


def write_error(directory: Path, error: OSError) -> CacheError:
    advice = "free some space" if error.errno in _FULL else "make the folder writable"
    return CacheError(
        f"cannot write to the cache {directory}: {error.strerror or error}. Everything extracted before is"
        f" kept; {advice} and run the same command again."
    )


def _marked(entries: Sequence[str]) -> set[str]:
    names = {entry.removesuffix(f".{MARKER}") for entry in entries if entry.endswith(f".{MARKER}")}
    return {name for name in names if re.fullmatch(_NAME, name)}
