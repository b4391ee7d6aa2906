"""Files of compiled networks: what was written is read, and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mapped import mapped_memory

from arcage.embedder.engines.compiled import CompiledFile, check_compiled, forget

BLOB = np.random.default_rng(1).bytes(1_000_000)  # several reads


@pytest.fixture
def kept(tmp_path: Path) -> CompiledFile:
    file = CompiledFile(tmp_path, "model a, 2 threads")
    file.write(BLOB)
    return file


def test_a_blob_is_read_as_it_was_written(kept: CompiledFile) -> None:
    found = kept.read()
    assert found is not None
    assert found.tobytes() == BLOB
    assert check_compiled(kept.path) == "right"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_blob_is_given_back_and_the_blob_remains(kept: CompiledFile) -> None:
    found = kept.read()
    assert found is not None
    assert found.tobytes() == BLOB
    assert mapped_memory(kept.path)["Rss"] > 900
    forget(found)
    assert mapped_memory(kept.path)["Rss"] == 0
    assert found.tobytes() == BLOB
    forget(np.frombuffer(BLOB, np.uint8))  # of a blob that was just compiled


def test_every_single_damage_is_noticed(kept: CompiledFile) -> None:
    whole = np.fromfile(kept.path, np.uint8)
    rng = np.random.default_rng(0)
    ends = range(len(BLOB) - 2, len(whole))
    for at in [*ends, *rng.integers(0, len(BLOB), 200)]:
        damaged = whole.copy()
        damaged[at] ^= 1 << rng.integers(8)
        damaged.tofile(kept.path)
        assert kept.read() is None, at
        assert check_compiled(kept.path) != "right"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[1:],
        lambda data: data + data,
        lambda data: bytes(len(data)),
        lambda data: data[:5000] + bytes(4096) + data[9096:],
        lambda data: data[4096:8192] + data[:4096] + data[8192:],
        lambda data: BLOB,
        lambda data: data[len(BLOB) :],  # the trailer alone
    ],
)
def test_other_damage_is_noticed(kept: CompiledFile, change: Callable[[bytes], bytes]) -> None:
    kept.path.write_bytes(change(kept.path.read_bytes()))
    assert kept.read() is None
    assert check_compiled(kept.path) != "right"
    kept.write(BLOB)
    assert check_compiled(kept.path) == "right"


def test_a_file_is_used_only_for_what_made_it(kept: CompiledFile) -> None:
    other = replace(kept, made_from="model b, 2 threads")
    assert other.read() is None
    shutil.copy(kept.path, other.path)
    assert other.read() is None
    assert check_compiled(other.path) == "damaged"


def test_what_is_not_a_file_is_not_opened(kept: CompiledFile) -> None:
    kept.path.unlink()
    assert kept.read() is None
    kept.path.mkdir()
    assert kept.read() is None
    kept.write(BLOB)  # not an error
    kept.path.rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(kept.path)
        assert kept.read() is None
        assert check_compiled(kept.path) == "damaged"


@pytest.mark.skipif(not hasattr(os, "truncate"), reason="needs sparse files")
def test_a_huge_file_is_not_read(kept: CompiledFile) -> None:
    os.truncate(kept.path, 1 << 40)
    assert kept.read() is None
    assert check_compiled(kept.path) == "unknown"
