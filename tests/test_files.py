"""Files: errors of reading, atomic writing, and digests."""

from __future__ import annotations

import csv
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from arcage import files
from arcage.errors import (
    ArcageError,
    ForeignFileError,
    HeadsError,
    ImageError,
    ModelError,
    OutputError,
    UsageError,
)
from arcage.files import (
    atomic_folder,
    atomic_path,
    atomic_write,
    check_exist,
    check_replaceable,
    make_folder,
    read_bytes,
    refuse_foreign,
    scratch_file,
    sha256_bytes,
    spelled_on_disk,
    verified_bytes,
)

as_root = os.geteuid() == 0


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def python(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


# Reading


def test_read_bytes(tmp_path: Path) -> None:
    path = tmp_path / "with space ü.jpg"
    path.write_bytes(b"\0\xff" * 100_000)
    assert read_bytes(path) == b"\0\xff" * 100_000
    link = tmp_path / "link.jpg"
    link.symlink_to(path)
    assert read_bytes(str(link)) == path.read_bytes()


def test_errors_of_read_bytes(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "missing.jpg", "^no such file$"),
        (tmp_path, "folder"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / "a" / "b.jpg", "no such file"),
    ):
        with pytest.raises(ImageError, match=message):
            read_bytes(path)


@pytest.mark.skipif(as_root, reason="root reads every file")
def test_read_bytes_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.touch(mode=0)
    with pytest.raises(ImageError, match="Permission denied"):
        read_bytes(path)


def test_errors_of_opening_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "1.jpg")

    (tmp_path / "1.jpg").touch()
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=r"^Permission denied$"):
        read_bytes(tmp_path / "1.jpg")


def test_read_bytes_never_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    failure: list[BaseException] = []

    def read() -> None:
        try:
            read_bytes(tmp_path / "pipe.jpg")
        except ImageError as error:
            failure.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "pipe" in str(failure[0])


def test_read_bytes_of_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is limited to about 100 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        with pytest.raises(ImageError, match="socket"):
            read_bytes("s.jpg")


def test_read_bytes_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(files.MAX_FILE_BYTES + 1)  # a sparse file uses no disk space
    with pytest.raises(ImageError, match=r"too large: 1,073,741,825 bytes, the limit is 1,073,741,824"):
        read_bytes(path)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    path.write_bytes(bytes(10))
    assert len(read_bytes(path)) == 10


# Digests


def test_sha256() -> None:
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_verified_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"model")
    digest = sha256_bytes(b"model")
    assert verified_bytes(path, digest) == b"model"

    path.write_bytes(b"modem")
    with pytest.raises(ModelError, match="is damaged: its SHA-256 is not the recorded one; ") as caught:
        verified_bytes(path, digest)
    assert str(path) in str(caught.value)
    assert "reinstall arcage" in str(caught.value)
    with pytest.raises(HeadsError, match=r"; fit them again$"):
        verified_bytes(path, digest, error=HeadsError, hint="fit them again")


def test_verified_bytes_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*: no such file; reinstall arcage"):
        verified_bytes(tmp_path / "model.onnx", "0" * 64)


# Writing


def test_atomic_write_binary_and_text(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.bin") as binary:
        binary.write(b"\n\r\n\0")
        assert not (tmp_path / "a.bin").exists()
    with atomic_write(str(tmp_path / "b.csv"), "w") as text:
        csv.writer(text).writerows([["ü", "\udce9.jpg"], ["1", "2"]])
    assert content(tmp_path) == {"a.bin": b"\n\r\n\0", "b.csv": b"\xc3\xbc,\xe9.jpg\r\n1,2\r\n"}


def test_a_scratch_file_has_no_name_and_is_gone(tmp_path: Path) -> None:
    with scratch_file(tmp_path / "a.json") as file:
        file.write("é\n" * 100_000)
        file.seek(0)
        assert file.read() == "é\n" * 100_000
        if os.name != "nt":
            assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
    with scratch_file() as file:
        file.write("a")


def test_a_scratch_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = r"cannot write .*a\.json: .*create the folder first"
    with pytest.raises(OutputError, match=words), scratch_file(tmp_path / "none" / "a.json"):
        pass

    def full(file: Any, data: Any) -> int:
        raise OutputError("cannot write: No space left on device")

    monkeypatch.setattr("arcage.files._Output.write", full)
    with pytest.raises(OutputError, match="No space left"), scratch_file(tmp_path / "a.json") as file:
        file.write("a" * 1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_atomic_write_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write("a.bin") as file:
        file.write(b"1")
    assert content(tmp_path) == {"a.bin": b"1"}


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"n" * 100_000)
        file.flush()
        assert path.read_bytes() == b"old"
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert temporary.name.startswith(".")
    assert content(tmp_path) == {"out.bin": b"n" * 100_000}


@pytest.mark.parametrize("mode", ["wb", "w"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError, OSError])
def test_an_exception_in_the_block_changes_nothing(
    tmp_path: Path, mode: Any, error: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    raised = error("in the middle")

    def write() -> None:
        with atomic_write(path, mode) as file:
            file.write(b"new" * 10_000 if mode == "wb" else "new" * 10_000)
            raise raised

    with pytest.raises(error) as caught:
        write()
    assert caught.value is raised
    assert content(tmp_path) == {"out": b"old"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_stopped_while_writing_leaves_the_old_file(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "out").write_bytes(b"old")
    script = f"""
import os, sys
from arcage.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"new" * 100_000)
    os.kill(os.getpid(), {int(number)})
"""
    done = python(script, tmp_path / "out")
    assert done.returncode != 0
    left = content(tmp_path)
    assert left.pop("out") == b"old"
    # After SIGKILL, the temporary file remains. It is hidden, so that a search for images skips it.
    assert all(name.startswith(".arcage-") for name in left)
    assert len(left) == (1 if number == signal.SIGKILL else 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("mode", ["wb", "w"])
def test_a_full_disk(tmp_path: Path, size: int, mode: Any) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_write(path, mode) as file:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, file.fileno())  # every further write fails with ENOSPC
            os.close(full)
            file.write(b"x" * size if mode == "wb" else "x" * size)

    with pytest.raises(OutputError) as caught:
        write()
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; free some space or choose another place"
    )
    assert isinstance(caught.value, ArcageError)
    assert caught.value.exit_code == 3
    assert content(tmp_path) == {"out.csv": b"old"}


def test_a_limit_of_the_file_size(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    script = """
import resource, sys
from arcage.errors import OutputError
from arcage.files import atomic_write
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with atomic_write(sys.argv[1]) as file:
        for _ in range(100):
            file.write(bytes(1000))
except OutputError as error:
    print(error)
"""
    done = python(script, tmp_path / "out")
    assert done.stderr == ""
    assert done.stdout == f"cannot write {tmp_path}/out: File too large; choose another place\n"
    assert content(tmp_path) == {"out": b"old"}


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_system_calls_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with (
            pytest.raises(OutputError, match=r"Disk quota exceeded; free some space"),
            atomic_write(path) as file,
        ):
            file.write(b"new")
    assert content(tmp_path) == {"out": b"old"}


def test_a_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with atomic_write(tmp_path / "out") as file:
        file.write(b"new")
    assert content(tmp_path) == {"out": b"new"}


def test_file_and_folder_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(source: str, target: str) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    with atomic_write(tmp_path / "out") as file:
        file.write(b"new")
    assert steps == ["file", "replace", "folder"]


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = content(tmp_path)
    for path, message in (
        (tmp_path / "missing" / "out.csv", "No such file or directory; create the folder first"),
        (tmp_path, "it is a folder; choose another place"),
        (Path("/dev/null"), "it is not a regular file; choose another place"),
        (tmp_path / "file" / "out.csv", "Not a directory; choose another place"),
    ):
        with pytest.raises(OutputError, match=message), atomic_write(path) as file:
            file.write(b"new")
    assert content(tmp_path) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o444)
    if as_root:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with (
        pytest.raises(OutputError, match="Permission denied; choose a place where you may write"),
        atomic_write(path),
    ):
        pass
    assert content(tmp_path) == {"out": b"old"}


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_open(tmp_path: Path, umask: int, expected: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "new") as file:
            file.write(b"")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o640)
        with atomic_write(tmp_path / "old") as file:
            file.write(b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == expected
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/out").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/out")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == {"out": b"new"}


@pytest.mark.parametrize("suffix", [".tmp", ".mp4"])
def test_atomic_path(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "out"
    with atomic_path(path, suffix) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == suffix
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert content(tmp_path) == {"out": b"new"}
    path.chmod(0o640)
    with suppress(ValueError), atomic_path(path, suffix) as temporary:
        temporary.write_bytes(b"newer")
        raise ValueError
    with atomic_path(path, suffix):
        pass
    assert content(tmp_path) == {"out": b"new"}
    with atomic_path(path, suffix) as temporary:
        temporary.write_bytes(b"newest")
    assert content(tmp_path) == {"out": b"newest"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(OutputError, match="not a regular file"), atomic_path("/dev/null"):
        pass


def test_atomic_folder(tmp_path: Path) -> None:
    left = tmp_path / ".arcage-out.tmp"
    left.mkdir()
    (left / "half").touch()
    with suppress(ValueError), atomic_folder(tmp_path / "out") as temporary:
        assert list(temporary.iterdir()) == []
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_bytes(b"1")
        assert not (tmp_path / "out").exists()
    assert content(tmp_path / "out") == {"a": b"1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_make_folder(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"cannot make the folder .*file: File exists; choose another place"
    ):
        make_folder(tmp_path / "file")


def test_a_name_of_maximum_length(tmp_path: Path) -> None:
    name = "n" * 255
    with atomic_write(tmp_path / name) as file:
        file.write(b"1")
    assert content(tmp_path) == {name: b"1"}


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for number in range(5):
        with atomic_write(tmp_path / "a") as file:
            file.write(b"1")
        with pytest.raises(ValueError, match="no"), atomic_write(tmp_path / "a") as file:
            raise ValueError("no")
        with pytest.raises(ImageError):
            read_bytes(tmp_path / f"missing{number}")
    after = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    assert after == before


def test_spelled_on_disk(tmp_path: Path) -> None:
    """Accents may be decomposed in each part of a path independently."""
    (tmp_path / "\u00e9").mkdir()
    there = tmp_path / "\u00e9" / "u\u0308.jpg"
    there.touch()
    for name in ("\u00e9/\u00fc.jpg", "e\u0301/u\u0308.jpg", "e\u0301/\u00fc.jpg", "\u00e9/u\u0308.jpg"):
        assert spelled_on_disk(tmp_path, name).samefile(there)
    # If both spellings exist, the exact match is returned.
    other = tmp_path / "\u00e9" / "\u00fc.jpg"
    if not other.exists():  # on macOS, both names are the same file
        other.touch()
        assert spelled_on_disk(tmp_path, "\u00e9/\u00fc.jpg") == other
        assert spelled_on_disk(tmp_path, "\u00e9/u\u0308.jpg") == there
    assert spelled_on_disk(tmp_path, "\u00e9/a.jpg") == tmp_path / "\u00e9" / "a.jpg"
    assert spelled_on_disk(tmp_path, str(other)).samefile(other)


def leftover(folder: Path, name: str, age: float = 0) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.skipif(os.name == "nt", reason="processes of POSIX")
def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    script = """
import os, sys
from arcage.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    os.kill(os.getpid(), 9)
"""
    assert python(script, tmp_path / "out").returncode != 0
    assert len(content(tmp_path)) == 1
    with atomic_write(tmp_path / "out") as file:
        file.write(b"new")
    assert content(tmp_path) == {"out": b"new"}


@pytest.mark.skipif(os.name == "nt", reason="processes of POSIX")
def test_files_that_may_be_in_use_are_not_removed(tmp_path: Path) -> None:
    here, day, hexa = files._process_space(), 90_000, "0123456789abcdef"
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    dead, alive = process.pid, os.getppid()
    gone = [
        leftover(tmp_path, f".arcage-{here}-{dead}-{hexa}.tmp"),
        leftover(tmp_path, f".arcage-{here}-{dead}-{hexa}.mp4"),
        leftover(tmp_path, f".arcage-00000000-{alive}-{hexa}.tmp", day),
        leftover(tmp_path, f".arcage-{dead}-{hexa}.tmp", day),
    ]
    stay = [
        leftover(tmp_path, f".arcage-{here}-{alive}-{hexa}.tmp", day),
        leftover(tmp_path, f".arcage-{here}-1-{hexa}.tmp", day),
        leftover(tmp_path, f".arcage-00000000-{dead}-{hexa}.tmp", 80_000),
        leftover(tmp_path, f".arcage-{dead}-{hexa}.tmp.txt", day),
        leftover(tmp_path, f".arcage-{here}-{dead}-{hexa}.csv", day),
        leftover(tmp_path, f"x.arcage-{here}-{dead}-{hexa}.tmp", day),
        leftover(tmp_path, ".arcage-buffalo_l.zip.part", day),
    ]
    folder = tmp_path / f".arcage-{here}-{dead}-0000000000000000.tmp"
    folder.mkdir()
    with atomic_write(tmp_path / "out") as file:
        file.write(b"new")
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []
    assert folder.is_dir()
    assert len(list(tmp_path.iterdir())) == len(stay) + 2


def test_a_folder_is_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: searched.append(path) or scandir(path))
    for number in range(3):
        with atomic_write(tmp_path / str(number)) as file:
            file.write(b"x")
    assert searched == [str(tmp_path)]


def test_paths_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").touch()
    check_exist({"cache": [Path("a")], "heads": [None], "": ["a"]})
    with pytest.raises(UsageError) as caught:
        check_exist({"": ["x", "a"], "cache": [Path("c")], "heads": ["h"]})
    assert str(caught.value) == (
        "no such file or folder: x, `cache` c, `heads` h; `arcage extract` makes a cache; "
        "`arcage fit` makes heads"
    )
    with pytest.raises(UsageError, match=r"^no such file or folder: 0, 1, 2, 3, 4 and 1,195 more; "):
        check_exist({"": map(str, range(1200))})


def test_files_that_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def check(path: Path) -> None:
        refuse_foreign(rb"\Aours", path)

    for content in ("ours", ""):
        path.write_text(content)
        check_replaceable(path, check, overwrite=False)
    path.write_text("theirs")
    check_replaceable(path, check, overwrite=True)
    with pytest.raises(ForeignFileError):
        check_replaceable(path, check, overwrite=False)
