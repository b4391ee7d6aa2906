"""The CPU engine: OpenVINO."""

from __future__ import annotations

import ctypes
import hashlib
import os
import queue
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from arcage.embedder.engines.base import Hint, Network, Precision, cores
from arcage.errors import ModelError, OutputError
from arcage.files import atomic_write, user_home
from arcage.types import Array

_CONVERTER = "openvino.tools.ovc"

CACHE_VARIABLE = {"win32": "LOCALAPPDATA", "darwin": "HOME"}.get(sys.platform, "XDG_CACHE_HOME")
"""Environment variable that overrides :func:`cache_home`."""


def cache_home() -> Path | None:
    """Return arcage's folder in the user's cache folder; None if the user has no home folder."""
    below = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    override = os.environ.get(CACHE_VARIABLE, "") if sys.platform != "darwin" else ""
    if os.path.isabs(override := os.path.expanduser(override)):  # XDG: relative paths are ignored
        return Path(override, "arcage")
    home = user_home()
    return home / below / "arcage" if home is not None else None


class OpenVinoEngine:
    """OpenVINO on the CPU.

    Detectors run in float32: in bfloat16 their landmarks move. Embedders run in bfloat16 on processors with
    units for it, two to three times as fast. The errors of the heads hardly change
    (``python benchmarks/accuracy/precision.py``), so descriptors of both formats share a cache.

    Args:
        hint: ``latency`` or ``throughput``.
        threads: of the runtime; by default one for each processor that this process may use.
        precision: ``float32`` turns bfloat16 off.
    """

    device = "cpu"
    parallel = True

    def __init__(
        self, hint: Hint = "latency", *, threads: int | None = None, precision: Precision = "auto"
    ) -> None:
        openvino = _runtime()
        self.note = ""
        self.name = f"openvino {openvino.__version__.split('-')[0]}"
        self._core: Any = openvino.Core()
        with _same_signal_stack():  # the first property loads the plugin
            # The runtime's own choice. Other reduced formats than bfloat16 lack the range of float32.
            native = self._core.get_property("CPU", "INFERENCE_PRECISION_HINT") == openvino.Type.bf16
        self._reduced = "bf16" if native and precision == "auto" else "f32"
        if self._reduced == "bf16":
            self.name += ", embedders in bfloat16"
        threads = threads or cores()
        self._streams = 1 if hint == "latency" else threads
        self._properties = {
            "NUM_STREAMS": self._streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        # A compiled network works only with the same runtime on the same kind of processor.
        self._platform = f"{openvino.__version__} {self._core.get_property('CPU', 'FULL_DEVICE_NAME')}"
        self._tensor: Any = openvino.Tensor
        self._folder = compiled_folder()

    def processor(self) -> tuple[str, list[str]]:
        """Return the processor's name, and the number formats in which the runtime computes on it."""
        supported: list[str] = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        formats = ("FP32", "BF16", "FP16", "INT8")
        name: str = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        return name, [name for name in formats if name in supported]

    def load(self, model: bytes, shape: tuple[int, ...], *, reduced_precision: bool = False) -> Network:
        precision = self._reduced if reduced_precision else "f32"
        properties = {**self._properties, "INFERENCE_PRECISION_HINT": precision}
        digest = hashlib.sha256(model)
        digest.update(f"{shape} {properties} {self._platform}".encode())
        kept = self._folder / f"{digest.hexdigest()[:32]}.blob" if self._folder else None
        if kept is not None:
            # A missing or damaged file is compiled again.
            with suppress(RuntimeError, OSError, ValueError):
                # Memory-mapped, and referenced as long as the network, which uses the memory.
                blob = self._tensor(np.memmap(kept, np.uint8, "c"), shared_memory=True)
                compiled = self._core.import_model(blob, "CPU", properties)
                return _CompiledNetwork(compiled, self._streams, blob)
        try:
            graph = self._core.read_model(model)
            graph.reshape(list(shape))
            compiled = self._core.compile_model(graph, "CPU", properties)
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise ModelError(f"OpenVINO cannot load this model: {lines[-1].strip()}") from error
        if kept is not None:
            with suppress(OutputError), atomic_write(kept) as file:
                file.write(compiled.export_model().getbuffer())
        return _CompiledNetwork(compiled, self._streams)


def compiled_folder() -> Path | None:
    """Return the folder of compiled networks, which is made if needed; None if it cannot be written.

    Reading a compiled network takes a tenth of the time of compiling it. Without the folder (a read-only home
    folder, or none), arcage starts one second later.
    """
    home = cache_home()
    if home is None:
        return None
    folder = home / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _runtime() -> Any:
    """Return the module ``openvino``, without its model converter.

    ``import openvino`` also imports ``openvino.tools.ovc``, which leaves an identifier in the home folder and
    reports each import to Google Analytics unless the user has opted out. OpenVINO imports it inside a
    ``try`` and works without it.
    """
    if "openvino" not in sys.modules:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # "raise ImportError"
        try:
            import openvino
        finally:
            # A program that needs the converter can still import it by name.
            del sys.modules[_CONVERTER]
    else:
        import openvino
    # OpenVINO's binding looks up NumPy on the first array. Two threads that do this at once deadlock: one
    # waits for the interpreter's lock, the other for the binding's.
    openvino.Type.f32.to_dtype()
    return openvino


class _SignalStack(ctypes.Structure):
    """``stack_t`` on Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Restore the calling thread's alternate signal stack after loading OpenVINO's CPU plugin.

    The plugin sets a stack of its own. On processors with AMX it is too small for two signals at once (the
    kernel then kills the process). It is freed with the last engine; if that happens in another thread,
    later signals are handled on freed memory.
    """
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None)
    before = _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        if libc.sigaltstack(ctypes.byref(before), None):
            # Once AMX is in use, the kernel rejects stacks that are too small for its registers.
            libc.sigaltstack(ctypes.byref(_SignalStack(flags=2)), None)  # SS_DISABLE


class _CompiledNetwork:
    """A network compiled by OpenVINO. ``blob`` is the memory that it uses, if it was read from a file."""

    def __init__(self, compiled: Any, requests: int, blob: Any = None) -> None:
        self._blob = blob
        # An output can have several names: its own, and those of nodes that were merged into it.
        self._names = [(i, name) for i, port in enumerate(compiled.outputs) for name in port.get_names()]
        # Two threads cannot share a request: each call takes an idle one.
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
