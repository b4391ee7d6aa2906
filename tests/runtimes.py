"""A fake ONNX Runtime, for tests of devices that this machine does not have."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class FakeRuntime:
    """Replaces the module ``onnxruntime``.

    Args:
        listed: providers that the runtime lists.
        works: whether a session runs on the requested provider; otherwise it falls back to the CPU.
        error: raised by a new session, if not empty.
        factor: by which a session multiplies its input.
        preload: called as ``preload_dlls``.
    """

    def __init__(
        self,
        listed: list[str],
        works: bool = True,
        *,
        error: str = "",
        factor: float = 2.0,
        preload: Callable[[], None] | None = None,
    ) -> None:
        self.__version__ = "1.31.0"
        self.listed, self.works, self.error, self.factor = listed, works, error, factor
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
        names = [name for name, _ in providers]

        def run(outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
            self.runs += 1
            (x,) = inputs.values()
            return [x * self.factor]

        return SimpleNamespace(
            get_providers=lambda: names if self.works else [CPU],
            disable_fallback=lambda: None,
            get_inputs=lambda: [SimpleNamespace(name="x", shape=["n", 3])],
            get_outputs=lambda: [SimpleNamespace(name="y")],
            run=run,
        )
