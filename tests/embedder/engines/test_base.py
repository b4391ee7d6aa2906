"""Batches of fixed sizes, and the number of processors that arcage uses."""

from __future__ import annotations

import os

import numpy as np
import pytest

from arcage.embedder.engines.base import (
    batch_axis,
    batch_sizes,
    batches,
    cores,
    run_batches,
)
from arcage.errors import DeviceMemoryError
from arcage.types import U8


def test_cores_are_those_of_this_process_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    available = cores()
    assert 1 <= available <= (os.cpu_count() or 1)
    monkeypatch.setenv("PYTHON_CPU_COUNT", "7")
    assert cores() == 7
    for invalid in ("", "0", "-1", "many", "default"):
        monkeypatch.setenv("PYTHON_CPU_COUNT", invalid)
        assert cores() == available


@pytest.mark.parametrize("sizes", [(1,), (4,), (1, 4), (1, 8), (8, 64), (1, 8, 32), (3, 5), (2, 4, 8, 16)])
def test_each_picture_is_in_one_batch_and_in_order(sizes: tuple[int, ...]) -> None:
    pictures = np.arange(1, 71, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 3), np.uint8)
    for n in range(71):
        seen: list[int] = []
        padding = 0
        for start, count, batch in batches(pictures[:n], sizes):
            assert start == len(seen)
            assert len(batch) in sizes
            assert batch.dtype == np.uint8
            assert 0 < count <= len(batch)
            # No smaller size would do, and padding fills less than half of a batch, or it is the smallest.
            assert count == len(batch) or count > max((s for s in sizes if s < len(batch)), default=0)
            assert 2 * count > len(batch) or len(batch) == sizes[0]
            assert not batch[count:].any()
            seen += batch[:count, 0, 1, 2].tolist()
            padding += len(batch) - count
        assert seen == list(range(1, n + 1))
        assert padding < sizes[-1]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, []),
        (1, [1]),
        (4, [1, 1, 1, 1]),
        (5, [8]),
        (8, [8]),
        (9, [8, 1]),
        (13, [8, 8]),
        (16, [8, 8]),
        (17, [32]),
        (33, [32, 1]),
        (70, [32, 32, 8]),
    ],
)
def test_the_rest_is_padded_if_it_fills_more_than_half_of_a_batch(n: int, expected: list[int]) -> None:
    pictures = np.ones((n, 2, 2, 3), np.uint8)
    assert [len(batch) for _, _, batch in batches(pictures, (1, 8, 32))] == expected


def test_whole_batches_are_not_copied() -> None:
    pictures = np.ones((9, 2, 2, 3), np.uint8)
    assert all(np.shares_memory(batch, pictures) for _, _, batch in batches(pictures, (1, 8)))


def test_a_network_with_one_batch_size_is_compiled_for_it() -> None:
    assert batch_axis((1,)) == 1
    assert batch_axis((4,)) == 4
    assert batch_axis((1, 8)) == -1


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (160, 160, (1, 2, 8, 32)),
        (320, 320, (1, 2, 8, 32)),
        (480, 640, (1, 2, 8)),
        (640, 640, (1, 2, 8)),
        (960, 1280, (1, 2)),
        (1280, 1280, (1, 2)),
        (5000, 5000, (1,)),
    ],
)
def test_large_canvases_are_searched_in_small_batches(
    height: int, width: int, expected: tuple[int, ...]
) -> None:
    assert batch_sizes((1, 2, 8, 32), height * width) == expected
    assert batch_sizes((1,), height * width) == (1,)
    assert batch_sizes((8, 64), height * width)[0] == 8


def test_a_batch_that_does_not_fit_is_divided() -> None:
    pictures = np.arange(45, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    tried: list[int] = []

    def run(start: int, count: int, batch: U8) -> tuple[int, list[int]]:
        tried.append(len(batch))
        if len(batch) > 8:
            raise DeviceMemoryError("full")
        return start, batch[:count, 0, 0, 0].tolist()

    results = run_batches(pictures, (1, 2, 8, 32), run)
    assert tried == [32, 8, 8, 8, 8, 8, 8]
    assert [i for start, part in results for i in [start, *part[1:]]] == list(range(45))
    with pytest.raises(DeviceMemoryError, match="full"):
        run_batches(pictures, (32,), run)
