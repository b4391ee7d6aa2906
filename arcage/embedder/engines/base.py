"""The interface of an engine, which runs networks: OpenVINO on the CPU, ONNX Runtime on a GPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, Protocol

from arcage.types import Array

Hint = Literal["latency", "throughput"]
"""``latency``: all cores work on one call; ``throughput``: one core per call, many calls at once."""
Precision = Literal["auto", "float32"]
"""Number format of networks that may run in reduced precision: ``auto`` is bfloat16 on processors with units
for it, float32 on others."""


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


class Network(Protocol):
    """A compiled network. It may be called from several threads."""

    def __call__(self, batch: Array) -> Mapping[str, Array]:
        """Run on one input array and return the outputs by name."""
        ...


class Engine(Protocol):
    """Compiles ONNX models for one device."""

    name: str
    """Name and version of the runtime, for messages: ``openvino 2026.4``."""
    device: str
    """The device that runs the networks: ``cpu``, ``cuda``, ..."""
    parallel: bool
    """Whether several threads should call networks at once (CPU) or only one (GPU)."""
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
