"""The interface of an engine, which runs networks: OpenVINO on the CPU, ONNX Runtime on a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np

from arcage.errors import DeviceMemoryError
from arcage.types import U8, Array

Result = TypeVar("Result")

Hint = Literal["latency", "throughput"]
"""``latency``: all cores work on one call; ``throughput``: one core per call, many calls at once."""
Precision = Literal["auto", "float32"]
"""Number format of networks that may run in reduced precision: ``auto`` is bfloat16 on processors with units
for it, TF32 on GPUs with CUDA, and float32 on others."""
BATCH_CANVAS = 320 * 320
"""Size of the canvases for which the batch sizes of detectors hold, pixels."""


def cores() -> int:
    """Return the number of processors that this process may use.

    The environment variable ``PYTHON_CPU_COUNT`` overrides it, as in Python 3.13 and later.
    """
    wanted = os.environ.get("PYTHON_CPU_COUNT", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def batches(pictures: U8, sizes: Sequence[int]) -> Iterator[tuple[int, int, U8]]:
    """Divide pictures into batches of fixed sizes: a runtime prepares, and on a GPU tunes, each new size.

    What is left after the largest batches is padded with black to the next size if it fills more than half of
    that, and otherwise divided into smaller ones.

    Args:
        pictures: shape (n, height, width, 3), uint8.
        sizes: in ascending order.

    Yields:
        The index of the first picture, the number of pictures, and the batch.
    """
    start = 0
    while left := len(pictures) - start:
        below = max((size for size in sizes if size <= left), default=0)
        above = min((size for size in sizes if size >= left), default=below)
        size = above if 2 * left > above or not below else below
        count = min(size, left)
        batch = pictures[start : start + count]
        if count < size:
            batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), np.uint8)])
        yield start, count, batch
        start += count


def batch_sizes(sizes: Sequence[int], pixels: int) -> tuple[int, ...]:
    """Return the batch sizes for canvases of ``pixels`` pixels.

    No batch has more pixels than the largest one of small canvases, except of the smallest size.

    Args:
        sizes: for canvases of :data:`BATCH_CANVAS`, in ascending order.
        pixels: height times width of a canvas.
    """
    limit = sizes[-1] * BATCH_CANVAS
    return (sizes[0], *(size for size in sizes[1:] if size * pixels <= limit))


def run_batches(pictures: U8, sizes: Sequence[int], run: Callable[[int, int, U8], Result]) -> list[Result]:
    """Run pictures in batches of fixed sizes, as :func:`batches` divides them, and return all results.

    A batch that is too large for the device's memory is divided into smaller ones.

    Args:
        pictures: shape (n, height, width, 3), uint8.
        sizes: in ascending order.
        run: takes the index of the first picture, the number of pictures, and the batch.

    Raises:
        DeviceMemoryError: ``run`` raised it for a batch of the smallest size.
    """
    results: list[Result] = []
    for start, count, batch in batches(pictures, sizes):
        try:
            results.append(run(start, count, batch))
            continue
        except DeviceMemoryError:
            smaller = [size for size in sizes if size < len(batch)]
            if not smaller:
                raise

        def run_part(first: int, count: int, batch: U8, start: int = start) -> Result:
            return run(start + first, count, batch)

        results += run_batches(batch[:count], smaller, run_part)
    return results


def batch_axis(sizes: Sequence[int]) -> int:
    """Return the batch size for which a network is compiled; -1 if it varies between calls."""
    return sizes[0] if len(sizes) == 1 else -1


class Network(Protocol):
    """A compiled network. It may be called from several threads."""

    def __call__(self, batch: Array, outputs: Sequence[str] = ()) -> Mapping[str, Array]:
        """Run on one input array and return the named outputs, or all, by name."""
        ...


class Engine(Protocol):
    """Compiles ONNX models for one device."""

    name: str
    """Name and version of the runtime, for messages: ``openvino 2026.4``."""
    device: str
    """The device that runs the networks: ``cpu``, ``cuda``, ..."""
    detector_batches: tuple[int, ...]
    """Batch sizes of detectors, see :func:`batch_sizes`. A network with only one size is compiled for it."""
    embedder_batches: tuple[int, ...]
    """Batch sizes of embedders."""
    note: str
    """Why ``auto`` uses the CPU although a GPU package is installed, in one line; otherwise empty."""

    def load(
        self,
        model: bytes,
        shape: tuple[int, ...],
        *,
        sha256: str = "",
        reduced_precision: bool = False,
        trusted: bool = True,
    ) -> Network:
        """Compile an ONNX model with one input.

        Args:
            model: the ONNX file's bytes, verified by the caller.
            shape: of the input; -1 for a size that varies between calls.
            sha256: of the model, if the caller knows it; it saves time.
            reduced_precision: whether the engine may compute with fewer bits than float32.
            trusted: whether the model is part of arcage. Others are first loaded and run in a worker process,
                with limits of time and memory.

        Raises:
            ModelError: the runtime rejects the model.
        """
        ...
