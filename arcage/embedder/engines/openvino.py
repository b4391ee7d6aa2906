"""The CPU engine."""

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
    """Return the folder of compiled networks: ``arcage/`` in the user's cache folder; None without a home
    folder."""
    below = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    told = os.environ.get(CACHE_VARIABLE, "") if sys.platform != "darwin" else ""
    if os.path.isabs(told := os.path.expanduser(told)):  # XDG: relative paths are ignored
        return Path(told, "arcage")
    home = user_home()
    return home / below / "arcage" if home is not None else None


class OpenVinoEngine:
    """OpenVINO on the CPU.

    Detectors run in float32: in bfloat16 their landmarks move. Embedders tolerate bfloat16, which
    processors with units for it compute two to three times as fast: errors hardly move
    (``python benchmarks/accuracy/precision.py``), so that descriptors of both kinds share a cache.
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
            # What the runtime would take by itself. Of its choices only bfloat16 has float32's range.
            native = self._core.get_property("CPU", "INFERENCE_PRECISION_HINT") == openvino.Type.bf16
        self._tolerant = "bf16" if native and precision == "auto" else "f32"
        if self._tolerant == "bf16":
            self.name += ", embedders in bfloat16"
        threads = threads or cores()
        self._streams = 1 if hint == "latency" else threads
        self._properties = {
            "NUM_STREAMS": self._streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        # A compiled network is of use to the same runtime on the same kind of processor alone.
        self._kind = f"{openvino.__version__} {self._core.get_property('CPU', 'FULL_DEVICE_NAME')}"
        self._tensor: Any = openvino.Tensor
        self._folder = compiled_folder()

    def processor(self) -> tuple[str, list[str]]:
        """Its name, and the number formats that the runtime computes in on it."""
        known: list[str] = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        formats = ("FP32", "BF16", "FP16", "INT8")
        return self._core.get_property("CPU", "FULL_DEVICE_NAME"), [name for name in formats if name in known]

    def load(self, model: bytes, shape: tuple[int, ...], *, tolerant: bool = False) -> Network:
        precision = self._tolerant if tolerant else "f32"
        properties = {**self._properties, "INFERENCE_PRECISION_HINT": precision}
        digest = hashlib.sha256(model)
        digest.update(f"{shape} {properties} {self._kind}".encode())
        kept = self._folder / f"{digest.hexdigest()[:32]}.blob" if self._folder else None
        if kept is not None:
            # Whatever is wrong with it, it is compiled anew.
            with suppress(RuntimeError, OSError, ValueError):
                # Mapped, not read, and kept as long as the network, which goes on using it.
                blob = self._tensor(np.memmap(kept, np.uint8, "c"), shared_memory=True)
                compiled = self._core.import_model(blob, "CPU", properties)
                return _Compiled(compiled, self._streams, blob)
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
        return _Compiled(compiled, self._streams)


def compiled_folder() -> Path | None:
    """Where compiled networks are kept: reading one takes a tenth of the time that compiling it does. Without
    such a folder (read-only home, or none at all) arcage just starts a second later."""
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
    else:
        import openvino
    # OpenVINO's binding looks NumPy up when it first meets an array. Two threads that come to this at once
    # wait for each other forever, one for the interpreter's lock and one for the binding's.
    openvino.Type.f32.to_dtype()
    return openvino


class _SignalStack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Undo what loading OpenVINO's CPU plugin does to the alternate signal stack of the calling thread.

    The plugin sets one of its own, which is too small for two signals at once on processors with AMX (the
    kernel then kills the process), and frees it with the last engine. Unless that happens in the same thread,
    signals from then on are handled on freed memory, or on whatever was mapped there since.
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
            # Once AMX is in use, the kernel refuses stacks that are too small for its registers.
            libc.sigaltstack(ctypes.byref(_SignalStack(flags=2)), None)  # SS_DISABLE


class _Compiled:
    def __init__(self, compiled: Any, requests: int, blob: Any = None) -> None:
        self._blob = blob
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
