"""A fake ONNX Runtime, for tests of devices that this machine does not have."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
OUT_OF_MEMORY = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) "
    "Failed to allocate memory for requested buffer of size 1073741824"
)
"""Message of ONNX Runtime for a GPU without enough memory."""


class FakeRuntime:
    """Replaces the module ``onnxruntime``.

    Args:
        listed: providers that the runtime lists.
        works: whether a session runs on the requested provider; otherwise it falls back to the CPU.
        error: raised by a new session, if not empty.
        factor: by which a session multiplies its input.
        preload: called as ``preload_dlls``.
        memory: rows that all sessions together can have in memory; more is an error.
        during: called during each run.
    """

    def __init__(
        self,
        listed: list[str],
        works: bool = True,
        *,
        error: str = "",
        factor: float = 2.0,
        preload: Callable[[], None] | None = None,
        memory: float = math.inf,
        during: Callable[[], object] = lambda: None,
    ) -> None:
        self.__version__ = "1.31.0"
        self.listed, self.works, self.error, self.factor = listed, works, error, factor
        self.memory, self.during = memory, during
        self.sessions: WeakSet[FakeSession] = WeakSet()
        self.asked: list[Any] = []
        self.preloaded = 0
        self.SessionOptions = SimpleNamespace
        self.runs = 0
        self.preload_dlls = preload or self._preload

    def _preload(self) -> None:
        self.preloaded += 1

    def get_available_providers(self) -> list[str]:
        return self.listed

    def disable_telemetry_events(self) -> None:
        pass

    def set_default_logger_severity(self, level: int) -> None:
        pass

    def InferenceSession(  # noqa: N802
        self, model: bytes, options: Any, *, providers: list[Any], enable_fallback: int
    ) -> Any:
        assert enable_fallback == 0
        assert options.log_severity_level == 4
        self.asked.append(providers)
        if self.error:
            raise RuntimeError(self.error)
        session = FakeSession(self, [name for name, _ in providers])
        self.sessions.add(session)
        return session


class FakeSession:
    """Multiplies its input by the runtime's factor. Its memory grows to the rows of its largest input."""

    def __init__(self, runtime: FakeRuntime, providers: list[str]) -> None:
        self.runtime, self.providers, self.rows = runtime, providers, 0

    def disable_fallback(self) -> None:
        pass

    def get_providers(self) -> list[str]:
        return self.providers if self.runtime.works else [CPU]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x", shape=["n", 3])]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="y")]

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        (x,) = inputs.values()
        self.runtime.runs += 1
        self.runtime.during()
        others = sum(session.rows for session in self.runtime.sessions if session is not self)
        if others + max(self.rows, len(x)) > self.runtime.memory:
            raise RuntimeError(OUT_OF_MEMORY)
        self.rows = max(self.rows, len(x))
        return [x * self.runtime.factor]
