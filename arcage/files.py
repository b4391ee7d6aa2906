"""Read files with clear errors, and write them atomically."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, overload

from arcage.errors import (
    ArcageError,
    ForeignFileError,
    ImageError,
    ModelError,
    OutputError,
    UsageError,
)
from arcage.process.interrupt import uninterrupted
from arcage.readers.regular_file import FileKindError, read_regular
from arcage.text import shortened

CACHE_VARIABLE = {"win32": "LOCALAPPDATA", "darwin": "HOME"}.get(sys.platform, "XDG_CACHE_HOME")
"""Environment variable that overrides :func:`cache_home`."""
DAY = 86_400.0
MAX_FILE_BYTES = 1 << 30
"""Largest image file that :func:`read_bytes` reads: 1 GiB."""

_ENDS = 1 << 16
"""Number of bytes at the start and the end of a file in which :func:`refuse_foreign` searches for a mark."""

_ADVICE = {
    errno.ENOSPC: "free some space or choose another place",
    errno.EDQUOT: "free some space or choose another place",
    errno.ENOENT: "create the folder first",
    errno.EACCES: "choose a place where you may write",
    errno.EPERM: "choose a place where you may write",
    errno.EROFS: "choose a place where you may write",
}


def reason(error: OSError | ValueError) -> str:
    """Return why a path cannot be used, such as ``no such file`` or ``Permission denied``."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "not a valid path"


def user_home() -> Path | None:
    """Return the user's home folder.

    None if neither HOME nor a passwd entry defines it, as in containers with an arbitrary user id.
    """
    if os.environ.get("HOME") == "":
        return None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_absolute() else None


def prepare_matplotlib() -> None:
    """Let matplotlib be imported by a user without a home folder; before version 3.11, that fails."""
    if user_home() is None:
        # A path that cannot be a folder makes matplotlib use a temporary one, which it removes at the end.
        os.environ.setdefault("MPLCONFIGDIR", os.devnull)


def cache_home() -> Path | None:
    """Return arcage's folder in the user's cache folder; None if the user has no home folder."""
    below = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    override = os.environ.get(CACHE_VARIABLE, "") if sys.platform != "darwin" else ""
    if os.path.isabs(override := os.path.expanduser(override)):  # XDG: relative paths are ignored
        return Path(override, "arcage")
    home = user_home()
    return home / below / "arcage" if home is not None else None


def is_absent(path: str | Path) -> bool:
    """Return whether nothing exists at a path. Broken links and unreadable files exist."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def check_exist(paths: Mapping[str, Iterable[str | Path | None]]) -> None:
    """Check that files and folders exist, before any work is done.

    Args:
        paths: by the name of the parameter, such as ``cache``; empty for arguments without a name. None
            stands for a parameter that is not given.

    Raises:
        UsageError: some do not exist; the message names up to five of them.
    """
    given = [
        (f"`{name}` " if name else "", os.fspath(path))
        for name, ps in paths.items()
        for path in ps
        if path is not None
    ]
    absent = [(name, path) for name, path in given if is_absent(path)]
    if not absent:
        return
    shown = shortened([f"{name}{path}".strip()[:200] or "''" for name, path in absent], 5)
    makers = {"`cache` ": "`arcage extract` makes a cache", "`heads` ": "`arcage fit` makes heads"}
    advice = dict.fromkeys(makers[name] for name, _ in absent if name in makers)
    if any(letter in path for _, path in absent for letter in "*?["):
        advice["no file matches the pattern: name a folder to search it for images"] = None
    raise UsageError(f"no such file or folder: {shown}; {'; '.join(advice) or 'check the spelling'}")


def check_replaceable(path: Path, check: Callable[[Path], None], *, overwrite: bool) -> None:
    """Check whether a result may be written to ``path``.

    Args:
        path: the file or folder, which need not exist.
        check: raises ForeignFileError if arcage did not write what is there, such as
            :func:`arcage.output.formats.check_rows_file`.
        overwrite: replace files that arcage did not write.

    Raises:
        ForeignFileError: arcage did not write what is there, and ``overwrite`` is not set.
        UsageError: as ``check``.
    """
    try:
        check(path)
    except ForeignFileError:
        if not overwrite:
            raise


def read_bytes(path: str | Path) -> bytes:
    """Return the content of a regular file, or of the file that a link leads to.

    Raises:
        ImageError: the path does not exist, may not be read, is a folder, pipe or device, or is larger than
            :data:`MAX_FILE_BYTES`; or the disk fails.
    """
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except FileKindError as error:
        raise ImageError(str(error)) from None
    except (OSError, ValueError) as error:
        raise ImageError(reason(error)) from None


def spelled_on_disk(folder: Path, name: str) -> Path:
    """Return ``folder / name`` with its accented letters as on disk, composed or decomposed.

    Most file systems distinguish the two. The given spelling takes precedence, and is returned if neither
    exists.
    """
    if name.isascii():
        return folder / name
    path = folder
    for part in Path(name).parts:
        spellings = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        path = next((found for one in spellings if os.path.lexists(found := path / one)), path / part)
    return path


def make_folder(folder: Path) -> None:
    """Create a folder and its parents unless they exist.

    Raises:
        OutputError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {reason(error)}; choose another place"
        ) from error


def refuse_foreign(mark: bytes, *paths: Path) -> None:
    """Check that existing files were written by arcage or are empty, so that they may be replaced.

    Args:
        mark: regular expression that matches near the start or the end of the files that arcage writes.
        paths: files to replace. Paths that do not exist or are not regular files are not checked here;
            :func:`atomic_write` refuses the latter.

    Raises:
        ForeignFileError: a file lacks the mark.
    """
    for path in paths:
        if os.path.isfile(path) and not _has_mark(path, mark):
            raise ForeignFileError(path)


def check_csv(path: Path, columns: Sequence[str], content: str, more: str = "") -> None:
    """Check that a CSV file with these columns may be written to ``path``.

    Args:
        path: file, which need not exist.
        columns: names of the columns.
        content: what the file contains, for the error: "the labels".
        more: as for :func:`csv_mark`.

    Raises:
        UsageError: the name does not end in ``.csv``.
        ForeignFileError: arcage did not write the existing file.
    """
    if path.suffix.lower() != ".csv":
        raise UsageError(f"{content} are written as CSV: {path} must end in .csv")
    refuse_foreign(csv_mark(columns, more), path)


def csv_mark(columns: Sequence[str], more: str = "") -> bytes:
    """Return the mark of a CSV file with exactly these columns, for :func:`refuse_foreign`.

    Args:
        columns: names of the columns.
        more: a regular expression for the names of columns that may follow.
    """
    optional = f"(,({more}))*" if more else ""
    return rb"\A(\xef\xbb\xbf)?" + (",".join(columns) + optional).encode() + rb"\r?\n"


def _has_mark(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(_ENDS)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _ENDS))
            return not start or any(re.search(mark, part) for part in (start, file.read()))
    except OSError:
        return False


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 digest of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def verified_bytes(
    path: str | Path,
    sha256: str,
    *,
    error: type[ArcageError] = ModelError,
    hint: str = "reinstall arcage: pip install --force-reinstall arcage",
    max_bytes: int = MAX_FILE_BYTES,
) -> bytes:
    """Return the content of a file after checking its SHA-256 digest, so that no parser reads a damaged file.

    Args:
        path: file.
        sha256: expected digest.
        error: exception to raise if the file cannot be read or has another digest.
        hint: what to do then, for the message.
        max_bytes: limit of the size, which is checked before the file is read.
    """
    try:
        data = read_regular(path, max_bytes)
    except FileKindError as cause:
        raise error(f"cannot read {path}: {cause}; {hint}") from None
    except (OSError, ValueError) as cause:
        raise error(f"cannot read {path}: {reason(cause)}; {hint}") from None
    if sha256_bytes(data) != sha256:
        raise error(f"{path} is damaged: its SHA-256 is not the recorded one; {hint}")
    return data


@overload
def atomic_write(path: str | Path, mode: Literal["wb"] = ...) -> AbstractContextManager[IO[bytes]]: ...
@overload
def atomic_write(path: str | Path, mode: Literal["w"]) -> AbstractContextManager[IO[str]]: ...
@contextmanager
def atomic_write(path: str | Path, mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that replaces ``path`` when the ``with`` block ends without an exception.

    Otherwise, ``path`` is not changed. See :func:`atomic_path`. Permissions are those that ``open`` would
    give. Text (``"w"``) is encoded as UTF-8 with surrogate escapes; line ends are not translated.

    Raises:
        OutputError: the file cannot be written. An OSError raised inside the block passes unchanged.
    """
    with _replacement(path) as new:
        file: IO[Any] | None = None
        try:
            with uninterrupted():
                file = io.BufferedWriter(_create(new.temporary, path))
                if mode == "w":
                    file = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
            yield file
            with uninterrupted():
                try:
                    file.flush()
                    file.close()
                except OSError as error:
                    raise _cannot_write(path, error) from error
                new.commit()
        except BaseException:
            if file is not None:
                with suppress(OSError, OutputError):
                    file.close()
            raise


@contextmanager
def atomic_path(path: str | Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Yield a temporary path whose file replaces ``path`` when the ``with`` block ends without an exception.

    For libraries that open files themselves; otherwise use :func:`atomic_write`. The temporary file is a
    hidden file in the same folder. After an exception it is removed, and ``path`` is not changed. If the
    block creates no file, nothing happens. On success, the content is on disk. An existing file keeps its
    permissions, and a link remains a link.

    Args:
        path: file to write.
        suffix: suffix of the temporary path, one of ``.tmp`` and ``.mp4``.

    Raises:
        OutputError: the file cannot be written.
    """
    with _replacement(path, suffix) as new:
        yield Path(new.temporary)
        if os.path.lexists(new.temporary):
            with uninterrupted():
                new.commit()


@contextmanager
def scratch_file(path: str | Path | None = None) -> Iterator[IO[str]]:
    """Open an empty text file without a name, for writing and then reading, that is gone after the block.

    Args:
        path: the file that the content is for: the folder is the same. None for the folder of the system.

    Raises:
        OutputError: the file cannot be created or written.
    """
    import tempfile  # few runs need it

    folder = tempfile.gettempdir() if path is None else os.path.dirname(os.path.realpath(path))
    shown = path or folder
    try:
        owner = tempfile.TemporaryFile(dir=folder, prefix=".arcage-")  # noqa: SIM115
    except OSError as error:
        raise _cannot_write(shown, error) from error
    with owner:
        raw = _Output(os.dup(owner.fileno()), shown, "r+b")
        file = io.TextIOWrapper(io.BufferedRandom(raw), encoding="utf-8", newline="")
        try:
            yield file
        finally:
            # What was not read is not needed, so that it need not be written either.
            with suppress(OSError, OutputError):
                file.close()


@dataclass(frozen=True, slots=True)
class _Replacement:
    """A temporary file that replaces another one."""

    path: str | Path
    """Name of the replaced file, for errors."""
    target: str
    """The replaced file, with links resolved."""
    temporary: str
    permissions: int | None
    """Permissions of the replaced file; None if there is none."""

    def commit(self) -> None:
        """Rename the temporary file so that it is complete even after a power failure."""
        try:
            # Opened first, because the permissions may not allow the owner to write.
            with open(self.temporary, "ab") as file:
                if self.permissions is not None:
                    os.chmod(self.temporary, self.permissions)
                os.fsync(file.fileno())
            os.replace(self.temporary, self.target)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        _sync_folder(os.path.dirname(self.target))


@contextmanager
def _replacement(path: str | Path, suffix: str = ".tmp") -> Iterator[_Replacement]:
    """Yield a replacement of a file, and remove the temporary file unless it was committed."""
    try:
        target = os.path.realpath(path)
        permissions = _replaceable(target)
        temporary = temporary_path(os.path.dirname(target), suffix)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield _Replacement(path, target, temporary, permissions)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` when the block ends without an exception.

    Only one process at a time may write to ``path``: the temporary folder has a fixed name, so that the
    next process removes what a killed one left.

    Raises:
        OSError: the folder cannot be created, or ``path`` exists.
    """
    temporary = path.with_name(f".arcage-{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(folder: str, suffix: str = ".tmp") -> str:
    """Return a name for a temporary file that will be renamed within the same folder.

    The name identifies the writing process, so that the file can be removed if that process is killed. This
    call removes such files of killed processes.
    """
    _remove_leftovers(folder)
    name = f".arcage-{_process_space()}-{os.getpid()}-{secrets.token_hex(8)}{suffix}"
    return os.path.join(folder, name)


_TEMPORARY = re.compile(r"\.arcage-(?:([0-9a-f]{8})-)?([1-9][0-9]{0,9})-[0-9a-f]{16}\.(?:tmp|mp4)")


@cache  # once per folder, which may have a million images
def _remove_leftovers(folder: str) -> None:
    """Remove the temporary files of processes that were killed.

    If the folder is shared with other machines, files of their processes are removed when they have not
    changed for a day.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                old = time.time() - entry.stat(follow_symlinks=False).st_mtime > DAY
                if old if match[1] != _process_space() else not _is_alive(int(match[2])):
                    os.unlink(entry.path)


@cache
def _process_space() -> str:
    """Return eight hexadecimal digits that identify the namespace of process numbers.

    A host name is not sufficient: hosts may have the same name, and containers may share that of their host.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            space = file.read() + os.readlink("/proc/self/ns/pid")
    except OSError:
        space = platform.node()
    return sha256_bytes(space.encode())[:8]


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        # On Windows, os.kill would end the process, and open files cannot be removed anyway.
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _create(temporary: str, path: str | Path) -> _Output:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return _Output(os.open(temporary, flags, 0o666), path)
    except OSError as error:
        raise _cannot_write(path, error) from error


class _Output(io.FileIO):
    """A file whose write errors name the path. A plain OSError could come from any file in the block."""

    def __init__(self, descriptor: int, path: str | Path, mode: Literal["wb", "r+b"] = "wb") -> None:
        super().__init__(descriptor, mode)
        self._path = path

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _cannot_write(self._path, error) from error


def _replaceable(target: str) -> int | None:
    """Return the permissions of the file at ``target``; None if there is none.

    Raises:
        OSError: ``target`` could not be opened for writing. Renaming would replace even a read-only file or
            /dev/null.
    """
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(mode)


def _cannot_write(path: str | Path, error: OSError) -> OutputError:
    advice = _ADVICE.get(error.errno or 0, "choose another place")
    return OutputError(f"cannot write {path}: {error.strerror or error}; {advice}")


def _sync_folder(folder: str) -> None:
    """Make a rename survive a power failure, on systems that can sync folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
