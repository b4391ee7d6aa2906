"""Where networks run: OpenVINO on the CPU, ONNX Runtime on a GPU.

``device`` is ``auto``, ``cpu`` or an ONNX Runtime provider by its short name (``cuda``, ``rocm``,
``coreml``, ...). Explicit means explicit: only ``auto`` falls back, and it says so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, Protocol

from arcage.types import Array

Hint = Literal["latency", "throughput"]
"""``latency``: all cores on one call; ``throughput``: one call a core, many calls at once."""
Precision = Literal["auto", "float32"]
"""What networks that tolerate it are computed in: ``auto``, bfloat16 where the processor has units for it."""


def cores() -> int:
    """Processors that this process may use; ``PYTHON_CPU_COUNT`` sets it, as for Python 3.13 itself."""
    wanted = os.environ.get("PYTHON_CPU_COUNT", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Network(Protocol):
    """A compiled network. Calls are safe from several threads."""

    def __call__(self, batch: Array) -> Mapping[str, Array]:
        """Run on one input array; the outputs by name."""
        ...


class Engine(Protocol):
    """Compiles ONNX models for one device."""

    name: str
    """Of the runtime, for people: ``openvino 2026.4``."""
    device: str
    """What really runs the networks: ``cpu``, ``cuda``, ..."""
    parallel: bool
    """True where several threads should call networks at once (CPU), False where one should (GPU)."""
    note: str
    """Why ``auto`` did not take the GPU that it might have been meant to, in one line; else empty."""

    def load(self, model: bytes, shape: tuple[int, ...], *, tolerant: bool = False) -> Network:
        """Compile an ONNX model with one input.

        Args:
            model: the ONNX file's bytes, verified by the caller.
            shape: of the input; -1 for a size that varies between calls.
            tolerant: whether the engine may compute in fewer bits than float32.

        Raises:
            ModelError: the runtime refuses the model.
        """
        ...
