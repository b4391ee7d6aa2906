"""The CPU engine."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arcage.embedder.engine import Hint, Network, cores
from arcage.errors import ModelError
from arcage.types import Array

_CONVERTER = "openvino.tools.ovc"


def cache_home() -> Path:
    """Where compiled networks are kept between runs: ``arcage/`` in the user's cache folder."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "arcage"


class OpenVinoEngine:
    """OpenVINO on the CPU, in float32 whatever the processor could do in less.

    The runtime would choose bfloat16 by itself where the processor has it; descriptors would then
    differ between machines, and with them the answers.
    """

    device = "cpu"
    parallel = True

    def __init__(self, hint: Hint = "latency", *, threads: int | None = None) -> None:
        openvino = _runtime()
        self.note = ""
        self.name = f"openvino {openvino.__version__.split('-')[0]}"
        self._core: Any = openvino.Core()
        threads = threads or cores()
        self._streams = 1 if hint == "latency" else threads
        properties = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": self._streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._core.set_property("CPU", properties)
        self._set_cache()

    def _set_cache(self) -> None:
        # Compiling costs a second, reading a compiled network a quarter of one. Without a folder
        # to keep it in (read-only home, or none at all), arcage just starts a second later.
        try:
            folder = cache_home() / "openvino"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (OSError, RuntimeError):
            return
        if os.access(folder, os.W_OK):
            self._core.set_property({"CACHE_DIR": str(folder)})

    def load(self, model: bytes, shape: tuple[int, ...]) -> Network:
        try:
            graph = self._core.read_model(model)
            graph.reshape(list(shape))
            compiled = self._core.compile_model(graph, "CPU")
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise ModelError(f"OpenVINO cannot load this model: {lines[-1].strip()}") from error
        return _Compiled(compiled, self._streams)


def _runtime() -> Any:
    """The module ``openvino``, without its model converter.

    ``import openvino`` imports ``openvino.tools.ovc`` too, and that one leaves an identifier in the home
    folder and reports each import to Google Analytics, unless the user knew how to forbid it. It is
    imported inside a ``try``: where it cannot be had, everything else works.
    """
    if "openvino" not in sys.modules:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # "raise ImportError"
        try:
            import openvino
        finally:
            # A program that wants the converter can still import it by its name.
            del sys.modules[_CONVERTER]
        # Two threads that need this table first, at the same time, wait for each other for ever: one holds
        # Python's lock, the other that of the table (OpenVINO 2026.4). So it is made here, by one thread.
        openvino.Type.f32.to_dtype()
    else:
        import openvino
    return openvino


class _Compiled:
    def __init__(self, compiled: Any, requests: int) -> None:
        # One output may carry several names: its own, and those of nodes that were folded away.
        self._names = [(i, name) for i, port in enumerate(compiled.outputs) for name in port.get_names()]
        # A request is not safe from two threads: each call borrows one.
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(requests):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, batch: Array) -> Mapping[str, Array]:
        request = self._idle.get()
        try:
            request.infer([np.ascontiguousarray(batch)], share_inputs=True, share_outputs=True)
            return {name: request.get_output_tensor(i).data.copy() for i, name in self._names}
        finally:
            self._idle.put(request)
