"""The CPU engine: OpenVINO."""

from __future__ import annotations

import ctypes
import queue
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from arcage.embedder.engines.base import Hint, Network, Precision, cores
from arcage.embedder.engines.compiled import CompiledFile, compiled_folder, forget
from arcage.embedder.engines.isolated import run_isolated
from arcage.embedder.onnx_check import check_onnx
from arcage.errors import ModelError
from arcage.files import sha256_bytes
from arcage.types import U8, Array

_CONVERTER = "openvino.tools.ovc"
_COMPILE = "arcage.embedder.engines.jobs:compile_network"


class OpenVinoEngine:
    """OpenVINO on the CPU.

    Embedders, and detectors on large canvases, run in bfloat16 on processors with units for it, embedders two
    to three times as fast. On small canvases, detectors run in float32: in bfloat16 their landmarks move. The
    errors of the heads hardly change (``python benchmarks/accuracy/precision.py``), so descriptors of both
    formats share a cache.

    Args:
        hint: ``latency`` or ``throughput``.
        threads: of the runtime; by default one for each processor that this process may use.
        precision: ``float32`` turns bfloat16 off.
    """

    device = "cpu"

    def __init__(
        self, hint: Hint = "latency", *, threads: int | None = None, precision: Precision = "auto"
    ) -> None:
        openvino = _runtime()
        self.note = ""
        self.name = f"openvino {openvino.__version__.split('-')[0]}"
        self._core: Any = make_core()
        # The runtime's own choice. Other reduced formats than bfloat16 lack the range of float32.
        native = self._core.get_property("CPU", "INFERENCE_PRECISION_HINT") == openvino.Type.bf16
        self._reduced = "bf16" if native and precision == "auto" else "f32"
        if self._reduced == "bf16":
            self.name += ", embedders in bfloat16"
        threads = threads or cores()
        self.detector_batches: tuple[int, ...] = (1,)
        self.embedder_batches: tuple[int, ...] = (1,) if hint == "latency" else (1, 4)
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

    def load(
        self,
        model: bytes,
        shape: tuple[int, ...],
        *,
        sha256: str = "",
        reduced_precision: bool = False,
        trusted: bool = True,
    ) -> Network:
        precision = self._reduced if reduced_precision else "f32"
        properties = {**self._properties, "INFERENCE_PRECISION_HINT": precision}
        sha256 = sha256 or sha256_bytes(model)
        sizes = self.embedder_batches
        if shape[0] >= 0 or len(sizes) == 1:
            return self._load(model, shape, properties, sha256, trusted)
        # Compiled for any batch size, networks take a tenth longer.
        return _NetworkBySize(
            {size: self._load(model, (size, *shape[1:]), properties, sha256, trusted) for size in sizes}
        )

    def _load(
        self, model: bytes, shape: tuple[int, ...], properties: dict[str, Any], sha256: str, trusted: bool
    ) -> Network:
        kept = None
        if self._folder is not None:
            made_from = f"{sha256} {shape} {properties} {self._platform}"
            kept = CompiledFile(self._folder, made_from)
            blob = kept.read()
            if blob is not None:
                with suppress(RuntimeError):  # compiled again
                    return self._import(blob, properties)
        if not trusted:
            check_onnx(model)
            made = run_isolated(_COMPILE, {"shape": shape, "properties": properties}, model).body
            if kept is not None:
                kept.write(made)
            try:
                return self._import(np.frombuffer(made, np.uint8), properties)
            except RuntimeError as error:
                raise _rejected(error) from error
        try:
            compiled, network = compile_model(model, shape, properties, self._core)
        except ModelError as error:  # of a network that is part of arcage, and whose bytes were verified
            raise ModelError(f"{error}; probably there is not enough memory: close other programs") from error
        if kept is not None:
            kept.write(compiled.export_model().getbuffer())
        return network

    def _import(self, blob: U8, properties: dict[str, Any]) -> Network:
        """Return a network from its blob, which it uses as long as it lives.

        Raises:
            RuntimeError: the runtime rejects it.
        """
        tensor = self._tensor(blob, shared_memory=True)
        compiled = self._core.import_model(tensor, "CPU", properties)
        # The runtime has arranged the weights in memory of its own, and reads little of the blob from now on.
        forget(blob)
        return _CompiledNetwork(compiled, self._streams, tensor)


def compile_model(
    model: bytes, shape: tuple[int, ...], properties: dict[str, Any], core: Any
) -> tuple[Any, Network]:
    """Compile an ONNX model for the CPU, and return OpenVINO's compiled model and the network.

    Args:
        model: the ONNX file's bytes.
        shape: of the input; -1 for a size that varies between calls.
        properties: of the network.
        core: from :func:`make_core`.

    Raises:
        ModelError: the runtime rejects the model.
    """
    try:
        graph = core.read_model(model)
        graph.reshape(list(shape))
        compiled = core.compile_model(graph, "CPU", properties)
    except RuntimeError as error:
        raise _rejected(error) from error
    return compiled, _CompiledNetwork(compiled, properties["NUM_STREAMS"])


def make_core() -> Any:
    """Return an ``openvino.Core`` with its CPU plugin loaded."""
    core = _runtime().Core()
    with _same_signal_stack():  # the first property loads the plugin
        core.get_property("CPU", "FULL_DEVICE_NAME")
    return core


def _rejected(error: Exception) -> ModelError:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ModelError(f"OpenVINO cannot load this model: {lines[-1].strip()}")


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


class _NetworkBySize:
    """A network that was compiled for several batch sizes, and accepts only these."""

    def __init__(self, networks: Mapping[int, Network]) -> None:
        self._networks = networks

    def __call__(self, batch: Array, outputs: Sequence[str] = ()) -> Mapping[str, Array]:
        return self._networks[len(batch)](batch, outputs)


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

    def __call__(self, batch: Array, outputs: Sequence[str] = ()) -> Mapping[str, Array]:
        request = self._idle.get()
        try:
            try:
                request.infer([np.ascontiguousarray(batch)], share_inputs=True, share_outputs=True)
            except RuntimeError as error:
                raise ModelError(f"OpenVINO cannot run this model: {str(error).strip()[-500:]}") from error
            return {
                name: request.get_output_tensor(i).data.copy()
                for i, name in self._names
                if not outputs or name in outputs
            }
        finally:
            self._idle.put(request)
