"""A folder of parts that are written once, each completely or not at all.

A part is a few files with the same base name and a marker, ``<name>.done``, which is renamed into place after
the files are safely on disk. The marker contains the sizes of the files, which detect a full disk or an
interrupted copy, and their checksums, which are compared when a file is first used. Readers only look for
markers, so a writer that dies leaves no incomplete part. Writers that share the folder cannot collide,
because every name is unique.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xxhash

from arcage.errors import CacheError
from arcage.files import DAY
from arcage.readers.strict_json import read_json

MARKER = "done"
TEMPORARY = "tmp"

CHECKSUM = "checksum"
"""Key of the checksum of a JSON file's other values. Earlier versions wrote none."""
FAST_DIGEST = "xxh3"
"""Key of the 128-bit XXH3 digest of a part's file. It is compared when the file is first used, in an eighth
of the time of SHA-256. Files of earlier versions only have a SHA-256, which is compared instead."""
_LOST_SECONDS = 60.0
"""Age at which a part without a marker is reported. A writer adds the marker within a second."""
_MAX_VERIFIED = 1 << 17
"""Number of verified files that are remembered."""

_NAME = r"\d{8}T\d{12}-[0-9a-f]{12}"

# Some network and FUSE file systems cannot sync a folder; they order renames by other means or not at all.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}

# Errors of the process or its permissions, which do not mean that the file is damaged.
_NOT_THE_FILE = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DamageError(Exception):
    """A part that is marked as done cannot be used. Only raised inside this package."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A part that is marked as done and has changed since it was written. Its text says what to do."""

    path: Path
    """The marker."""
    reason: str

    def __str__(self) -> str:
        return (
            f"damaged in the cache, {self.path.with_suffix('')}.*: {self.reason}. Delete these files and run"
            " the same extraction again: only their content is computed again."
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A complete part, as described by its marker."""

    folder: Path
    name: str
    facts: Mapping[str, Any] = field(compare=False)
    """The marker's content."""

    def path(self, suffix: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / f"{self.name}.{suffix}"

    def damaged(self, reason: str) -> Damaged:
        """Return a description of damage to this part."""
        return Damaged(self.path(MARKER), reason)

    def read(self, suffix: str) -> mmap.mmap:
        """Map one of its files into memory. Its checksum is compared on first use, and if it has changed.

        Raises:
            DamageError: the file is missing, or is not as the marker says.
            CacheError: the file cannot be read for another reason.
        """
        path, expected = self.path(suffix), self.facts["files"][suffix]
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise_unless_damage(error, path)
            raise DamageError(f"{path.name} cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise DamageError(f"{path.name} is empty") from error
        digest = expected.get(FAST_DIGEST) or expected["sha256"]
        times = (status.st_mtime_ns, status.st_ctime_ns)
        state = hash((status.st_dev, status.st_ino, status.st_size, times, digest))
        if state in _verified:
            return content
        if len(content) != expected["bytes"]:
            raise DamageError(f"{path.name} has {len(content)} bytes instead of {expected['bytes']}")
        if digest != _digest(content, fast=FAST_DIGEST in expected):
            raise DamageError(f"{path.name} has changed since it was written")
        if len(_verified) >= _MAX_VERIFIED:
            _verified.clear()
        _verified.add(state)
        return content


_verified: set[int] = set()
"""Hashes of the states of files whose checksums are right."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a JSON file with their checksum."""
    return {**content, CHECKSUM: _checksum(content)}


def check_seal(content: Mapping[str, Any]) -> None:
    """Check the values of a JSON file. Raises ValueError if they differ from their checksum."""
    if CHECKSUM in content:
        values = {key: value for key, value in content.items() if key != CHECKSUM}
        if content[CHECKSUM] != _checksum(values):
            raise ValueError("its checksum differs")


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def _digest(content: mmap.mmap, *, fast: bool) -> str:
    return xxhash.xxh3_128_hexdigest(content) if fast else hashlib.sha256(content).hexdigest()


class PartFolder:
    """The parts in one folder.

    Args:
        path: the folder.
        suffixes: of the files of each part.
        stamp: values that all markers share.
    """

    def __init__(self, path: Path, suffixes: Sequence[str], stamp: Mapping[str, object]) -> None:
        self.path = path
        self.suffixes = tuple(suffixes)
        self.stamp = dict(stamp)

    def write(self, files: Mapping[str, Sequence[Any]], facts: Mapping[str, object]) -> Part:
        """Write one part. When this returns, the part survives a power cut.

        Args:
            files: for each suffix the buffers (bytes-like, one-dimensional) that make up the file.
            facts: further values for the marker.

        Raises:
            OSError: a file cannot be written. The files of the part are removed, as after any other
            exception.
        """
        name = unique_name()
        marker = self.path / f"{name}.{MARKER}"
        try:
            written = {
                suffix: write_file(self.path / f"{name}.{suffix}", chunks) for suffix, chunks in files.items()
            }
            sync_folder(self.path)
            content = sealed({**self.stamp, **facts, "files": written})
            write_file(marker, [json.dumps(content, indent=1).encode()])
        except BaseException:
            # After an interrupt the marker may exist already. Then others may be reading the part.
            if not marker.exists():
                for suffix in files:
                    with contextlib.suppress(OSError):
                        (self.path / f"{name}.{suffix}").unlink(missing_ok=True)
            raise
        sync_folder(self.path)
        return Part(self.path, name, content)

    def scan(self, known: Sequence[Part] = ()) -> tuple[tuple[Part, ...], tuple[Damaged, ...]]:
        """Return the complete parts in the order of their names, and the damaged ones.

        A folder that does not exist has no parts.

        Args:
            known: parts whose markers are not read again. The sizes of their files are checked.

        Raises:
            CacheError: the folder cannot be read.
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
        marked = _marked(entries)
        for name in sorted(marked):
            try:
                part = before.get(name) or self._read_marker(name)
                if part is not None:
                    self._check(part)
                    parts.append(part)
            except DamageError as error:
                damaged.append(Damaged(self.path / f"{name}.{MARKER}", str(error)))
        return tuple(parts), (*damaged, *self._lost(entries, marked))

    def _lost(self, entries: Sequence[str], marked: set[str]) -> Iterator[Damaged]:
        """Yield the parts of which only the marker is missing."""
        files = set(entries)
        first = f".{self.suffixes[0]}"
        for entry in sorted(files):
            name = entry.removesuffix(first)
            if not entry.endswith(first) or name in marked or not re.fullmatch(_NAME, name):
                continue
            if not all(f"{name}.{suffix}" in files for suffix in self.suffixes):
                continue
            # A running writer adds the marker at any moment.
            with contextlib.suppress(OSError):
                if time.time() - os.stat(self.path / entry).st_mtime > _LOST_SECONDS:
                    yield Damaged(
                        self.path / f"{name}.{MARKER}",
                        "the marker is missing, because it was deleted or the extraction was killed",
                    )

    def verify(self, part: Part) -> Damaged | None:
        """Compare the sha256 of every file of a part with the marker; return None if they are equal."""
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
        # The second form is a temporary file for a file with a fixed name, such as pipeline.json.
        ours = re.compile(rf"(?P<name>{_NAME})\.({endings})(\.{TEMPORARY})?|.*\.{_NAME}\.{TEMPORARY}")
        return [
            self.path / entry
            for entry in entries
            if (match := ours.fullmatch(entry)) and match["name"] not in marked
        ]

    def clean(self, older_than: float = DAY) -> list[Path]:
        """Remove and return :meth:`unfinished` files that are older than ``older_than`` seconds.

        They were left by killed writers. Files that arcage did not write are kept.
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
            facts = read_json(path)
            complete = isinstance(facts["rows"], int) and all(
                isinstance(facts["files"][suffix]["bytes"], int)
                and isinstance(facts["files"][suffix]["sha256"], str)
                and isinstance(facts["files"][suffix].get(FAST_DIGEST, ""), str)
                # Without the checksum, an earlier version wrote the marker, without fast digests.
                and (CHECKSUM in facts or FAST_DIGEST not in facts["files"][suffix])
                for suffix in self.suffixes
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_unless_damage(error, path)
            raise DamageError(f"the marker cannot be read ({error.strerror})") from error
        except (ValueError, LookupError, TypeError, AttributeError):
            complete = False
        if not complete:
            raise DamageError("the marker does not have the form that arcage writes")
        for key, expected in self.stamp.items():
            if facts.get(key) != expected:
                raise DamageError(f"written with another {key} ({facts.get(key)}, here it is {expected})")
        try:
            check_seal(facts)
        except ValueError as error:
            raise DamageError(f"the marker has changed since it was written: {error}") from error
        return Part(self.path, name, facts)

    def _check(self, part: Part) -> None:
        for suffix in self.suffixes:
            path = part.path(suffix)
            expected = part.facts["files"][suffix]["bytes"]
            # The listing is not reliable: it may show a marker that is renamed while it runs, and lack files
            # that existed before.
            try:
                status = path.stat()
            except FileNotFoundError:
                raise DamageError(f"{path.name} is missing") from None
            except OSError as error:
                raise read_error(path, error) from error
            if not stat.S_ISREG(status.st_mode):
                raise DamageError(f"{path.name} is not a regular file")
            size = status.st_size
            if size != expected:
                raise DamageError(f"{path.name} has {size} bytes instead of {expected}")


def unique_name() -> str:
    """Return a unique base name that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(6)}"


def write_file(path: Path, chunks: Sequence[Any], *, temporary: Path | None = None) -> dict[str, object]:
    """Write a file atomically and durably, and return its size and digests."""
    temporary = temporary or path.with_name(f"{path.name}.{TEMPORARY}")
    digest, fast = hashlib.sha256(), xxhash.xxh3_128()
    size = 0
    try:
        with temporary.open("xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                fast.update(chunk)
                size += len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return {"bytes": size, "sha256": digest.hexdigest(), FAST_DIGEST: fast.hexdigest()}


def sync_folder(path: Path) -> None:
    """Make renames in a folder survive a power cut, if the system can."""
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
    """Raise CacheError for errors of the process or its permissions, which are not damage to the file."""
    if error.errno in _NOT_THE_FILE:
        raise read_error(path, error) from error


def read_error(path: Path, error: OSError) -> CacheError:
    """Return the error for a file or folder that cannot be read."""
    return CacheError(
        f"cannot read {path} in the cache: {error.strerror or error}. Check that the folder exists and that"
        " you may read it."
    )


def write_error(directory: Path, error: OSError) -> CacheError:
    """Return the error for a cache that cannot be written."""
    advice = "free some space" if error.errno in _FULL else "make the folder writable"
    return CacheError(
        f"cannot write to the cache {directory}: {error.strerror or error}. Everything extracted before is"
        f" kept; {advice} and run the same command again."
    )


def _marked(entries: Sequence[str]) -> set[str]:
    names = {entry.removesuffix(f".{MARKER}") for entry in entries if entry.endswith(f".{MARKER}")}
    return {name for name in names if re.fullmatch(_NAME, name)}
