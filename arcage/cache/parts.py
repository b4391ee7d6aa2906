"""A folder of parts that are written once, each completely or not at all.

A part is a few files with the same base name and a marker, ``<name>.done``, which is renamed into place after
the files are safely on disk. The marker contains the size and digests of each file, and a checksum of itself.
Sizes are compared when the folder is opened, and digests before content is used. Readers only look for
markers, so a writer that dies leaves no incomplete part. Writers that share the folder cannot collide,
because every name is unique.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
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

from arcage.cache.marker import FAST_DIGEST, MAX_MARKER, ChangedError, MarkerForm, sealed
from arcage.errors import CacheError
from arcage.files import DAY
from arcage.readers.regular_file import read_regular

MARKER = "done"
TEMPORARY = "tmp"

_SHOWN = 10
"""Maximum number of damaged parts that are described one by one."""
_LOST_SECONDS = 60.0
"""Age at which a part without a marker counts as damaged. A writer adds the marker within a second."""

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


def damage_texts(damaged: Sequence[Damaged]) -> list[str]:
    """Return warnings about damaged parts: a few texts, however many parts there are."""
    texts = [str(damage) for damage in damaged[:_SHOWN]]
    if more := len(damaged) - len(texts):
        texts.append(f"damaged in the cache: {more:,} more, in {damaged[-1].path.parent}")
    return texts


@dataclass(frozen=True, slots=True)
class Part:
    """A complete part, as described by its marker."""

    folder: Path
    name: str
    facts: Mapping[str, Any] = field(compare=False)
    """The marker's content."""
    intact: set[str] = field(default_factory=set, compare=False, repr=False)
    """Files that this process has compared with the marker."""

    def path(self, suffix: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / f"{self.name}.{suffix}"

    def damaged(self, reason: str) -> Damaged:
        """Return a description of damage to this part."""
        return Damaged(self.path(MARKER), reason)

    def read(self, suffix: str) -> bytes:
        """Return the content of one of its files, after comparing it with the marker.

        Raises:
            DamageError: it has changed since it was written.
            CacheError: it cannot be read for another reason.
        """
        path = self.path(suffix)
        record = self.facts["files"][suffix]
        try:
            data = read_regular(path, record["bytes"])
        except OSError as error:
            raise_unless_damage(error, path)
            raise DamageError(f"{path.name} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DamageError(f"{path.name} cannot be read ({error})") from error
        if FAST_DIGEST in record:
            same = xxhash.xxh3_128_hexdigest(data) == record[FAST_DIGEST]
        else:
            same = hashlib.sha256(data).hexdigest() == record["sha256"]
        if not same or len(data) != record["bytes"]:
            raise DamageError(f"{path.name} has changed since it was written")
        return data

    def read_span(self, suffix: str, start: int, size: int) -> bytes:
        """Return some bytes of a file that is in :attr:`intact`. Raises like :meth:`read`.

        Files are read and not mapped: if a mapped file becomes shorter, the system kills the process.
        """
        path = self.path(suffix)
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                data = file.read(size)
        except OSError as error:
            raise_unless_damage(error, path)
            raise DamageError(f"{path.name} cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise DamageError(f"{path.name} ends too early")
        return data


class PartFolder:
    """The parts in one folder.

    Args:
        path: the folder.
        form: of the markers.
    """

    def __init__(self, path: Path, form: MarkerForm) -> None:
        self.path = path
        self.form = form

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
            content = {**self.form.stamp, **facts, "files": written}
            write_file(marker, [json.dumps(sealed(content), indent=1).encode()])
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
        for name in sorted(_marked(entries)):
            try:
                part = before.get(name) or self._read_marker(name)
                if part is not None:
                    self._check(part)
                    parts.append(part)
            except DamageError as error:
                damaged.append(Damaged(self.path / f"{name}.{MARKER}", str(error)))
        return tuple(parts), (*damaged, *self._lost())

    def _lost(self) -> Iterator[Damaged]:
        """Yield the parts of which only the marker is missing. A running writer adds it at any moment."""
        for part in self.unmarked():
            with contextlib.suppress(OSError):
                times = [os.stat(f"{part}.{suffix}").st_mtime for suffix in self.form.suffixes]
                if time.time() - max(times) > _LOST_SECONDS:
                    yield Damaged(
                        Path(f"{part}.{MARKER}"),
                        "the marker is missing, because it was deleted or the extraction was killed",
                    )

    def verify(self, part: Part) -> Damaged | None:
        """Compare the sha256 of every file of a part with the marker; return None if they are equal."""
        for suffix in self.form.suffixes:
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
        endings = "|".join((*self.form.suffixes, MARKER))
        # The second form is a temporary file for a file with a fixed name, such as pipeline.json.
        ours = re.compile(rf"(?P<name>{_NAME})\.({endings})(\.{TEMPORARY})?|.*\.{_NAME}\.{TEMPORARY}")
        return [
            self.path / entry
            for entry in entries
            if (match := ours.fullmatch(entry)) and match["name"] not in marked
        ]

    def unmarked(self) -> list[Path]:
        """Return complete files without a marker, by the path of their part: without an ending, sorted.

        Their writer is about to write the marker or was killed before, or the marker was lost.
        """
        return sorted({path.with_suffix("") for path in self.unfinished() if path.suffix != f".{TEMPORARY}"})

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
            facts = self.form.parse(read_regular(path, MAX_MARKER))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_unless_damage(error, path)
            raise DamageError(f"the marker cannot be read ({error.strerror})") from error
        except ChangedError as error:
            raise DamageError(f"the marker has changed since it was written: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DamageError("the marker does not have the form that arcage writes") from error
        for key, expected in self.form.stamp.items():
            if facts.get(key) != expected:
                found = str(facts.get(key))[:50]
                raise DamageError(f"written with another {key} ({found}, here it is {expected})")
        return Part(self.path, name, facts)

    def _check(self, part: Part) -> None:
        for suffix in self.form.suffixes:
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
            if status.st_size != expected:
                raise DamageError(f"{path.name} has {status.st_size} bytes instead of {expected}")


def has_parts(folder: Path) -> bool:
    """Whether there are parts that are marked as done in a folder, which may not exist."""
    try:
        return bool(_marked(os.listdir(folder)))
    except OSError:
        return False


def unique_name() -> str:
    """Return a unique base name that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(6)}"


def write_file(path: Path, chunks: Sequence[Any], *, temporary: Path | None = None) -> dict[str, object]:
    """Write a file atomically and durably, and return its size and checksums."""
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
