"""The engine for GPUs and other accelerators: ONNX Runtime with one execution provider.

A runtime can list a provider whose libraries or hardware are missing, and a session then falls back to the
CPU without an error. The engine therefore runs a small network on the device before it is used.

The tests have no GPU: they compare the CPU provider with OpenVINO, and test the choice of a device with a
fake runtime.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import numpy as np

from arcage.embedder.engines.base import Network, Precision
from arcage.embedder.engines.compiled import CompiledFile, compiled_folder
from arcage.embedder.engines.isolated import run_isolated
from arcage.embedder.onnx_check import check_onnx
from arcage.errors import DeviceError, DeviceMemoryError, ModelError
from arcage.files import sha256_bytes
from arcage.process.streams import without_stderr
from arcage.types import Array

DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-rocm",
    "onnxruntime-migraphx",
)
"""Packages that install into the folder ``onnxruntime``; two of them break each other."""

_LOAD = "arcage.embedder.engines.jobs:load_session"
_SUFFIX = "ExecutionProvider"
_SHORT = {"Dml": "directml"}
# Azure's provider sends its input to a server, which must not happen to faces.
_REMOTE = frozenset({"AzureExecutionProvider"})

_INSTALL = {
    "cuda": "pip install 'arcage[gpu]'",
    "tensorrt": "pip install 'arcage[gpu]'",
    "directml": "pip install onnxruntime-directml",
    "openvino": "pip install onnxruntime-openvino",
    "rocm": "pip install onnxruntime-rocm",
    "migraphx": "pip install onnxruntime-migraphx",
    "coreml": "pip install onnxruntime",
}

_ALIASES = {"dml": "directml"}
_NUMBERED = re.compile(r"(cuda|tensorrt):(\d{1,3})")
"""A device with the number of a GPU."""

_CUDA_OPTIONS = {
    # The default benchmarks all algorithms for each new shape, which takes seconds.
    "cudnn_conv_algo_search": "HEURISTIC",
    # By default, each extension doubles the memory of a session.
    "arena_extend_strategy": "kSameAsRequested",
}

_OUT_OF_MEMORY = re.compile(r"(out|enough) (of )?memory|failed to allocate|alloc\w*_failed|bad.alloc", re.I)
"""In messages of CUDA, cuDNN, cuBLAS, DirectML and ONNX Runtime's own allocator."""

_CODE = re.compile(r"\S+\.(cc|h|cu):\d+ .*?\)( const)? ")
"""Where in ONNX Runtime's code an exception was raised: file, line and function."""
_NOT_LOADED = re.compile(r"Failed to load ([^\s:]+)")

_SILENT = 4
"""Severity of messages that end the process. Others are in the exceptions as well. Printed, they would be
among arcage's own messages."""

# An ONNX model, y = Conv(x, 2) of one number, operator set 13, made with onnx.helper (a test builds it again
# and compares). A convolution needs cuDNN in addition to CUDA.
PROBE = (
    b'\x08\x07:g\n\x0f\n\x01x\n\x01w\x12\x01y"\x04Conv\x12\x05probe'
    b'*\x13\x08\x01\x08\x01\x08\x01\x08\x01\x10\x01"\x04\x00\x00\x00@B\x01w'
    b"Z\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x01"
    b"b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x01"
    b"B\x04\n\x00\x10\r"
)


def installed_distributions() -> tuple[str, ...]:
    """Return the installed ONNX Runtime packages; more than one is a broken installation."""
    found = []
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            found.append(name)
    return tuple(found)


def installed_providers() -> tuple[str, ...]:
    """Return the short names of the providers of the installed ONNX Runtime, such as ``cuda`` and ``cpu``.

    A listed provider's device may still be missing. Empty without a working runtime.
    """
    try:
        return tuple(_providers(_runtime()))
    except DeviceError:
        return ()


class OnnxRuntimeEngine:
    """ONNX Runtime on one device, without a fallback.

    Args:
        device: the short name of an execution provider: ``cuda``, ``tensorrt``, ``coreml``, ``directml``,
            ``cpu``, ...; ``cuda:1`` and ``tensorrt:1`` are the second GPU.
        precision: ``float32`` turns TF32 off, in which CUDA multiplies numbers rounded to 10 bits and adds in
            float32. Detectors never use it. The errors of the heads do not change even if all of an embedder
            is computed in float16, which has 10 bits as well (``python benchmarks/accuracy/precision.py``).

    Raises:
        DeviceError: the provider is not installed, or does not work on this machine.
    """

    def __init__(self, device: str, *, precision: Precision = "auto") -> None:
        self.device = _ALIASES.get(device, device)
        numbered = _NUMBERED.fullmatch(self.device)
        device, number = numbered.groups() if numbered else (self.device, "0")
        # Checked first: installing a runtime does not help if the name is wrong.
        if device not in {"cpu", *_INSTALL} and device not in installed_providers():
            raise DeviceError(_unknown(device))
        self._ort = _runtime()
        installed = _providers(self._ort)
        if device not in installed:
            raise DeviceError(_not_installed(device, installed))
        self.name = f"onnxruntime {self._ort.__version__}"
        self.detector_batches: tuple[int, ...] = (1,) if device == "cpu" else (1, 2, 8, 32)
        self.embedder_batches: tuple[int, ...] = (1, 8) if device == "cpu" else (8, 64)
        self.note = ""
        self._tf32 = precision == "auto"
        self._networks: WeakSet[_SessionNetwork] = WeakSet()
        # Providers leave a few operators on shapes to the CPU, and TensorRT some to CUDA.
        others = {"cpu": (), "tensorrt": ("cuda", "cpu")}.get(device, ("cpu",))
        self._providers = [(installed[name], name, number) for name in (device, *others) if name in installed]
        self._probe()

    def load(
        self,
        model: bytes,
        shape: tuple[int, ...],
        *,
        sha256: str = "",
        reduced_precision: bool = False,
        trusted: bool = True,
    ) -> Network:
        if not trusted:
            self._try(model, shape, sha256)
        tf32 = reduced_precision and self._tf32
        try:
            session = self.session(model, tf32=tf32)
            (image,) = session.get_inputs()
            # A named or unknown size accepts any number.
            if any(
                isinstance(have, int) and have != want for have, want in zip(image.shape, shape, strict=True)
            ):
                model = _with_shape(model, image.name, shape)
                session = self.session(model, tf32=tf32)
        except (DeviceError, ModelError):
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise ModelError(f"ONNX Runtime cannot load this model: {_last_line(error)}") from error
        network = _SessionNetwork(self, model, tf32, session)
        self._networks.add(network)
        return network

    def _try(self, model: bytes, shape: tuple[int, ...], sha256: str) -> None:
        """Load and run a model in a worker process, unless that went well before.

        Raises:
            ModelError: it failed.
        """
        check_onnx(model)
        dtype = "uint8" if shape[-1] == 3 else "float32"
        folder = compiled_folder()
        verdict = None
        if folder is not None:
            tried = f"{sha256 or sha256_bytes(model)} {shape} {dtype} runs on {self._ort.__version__}"
            verdict = CompiledFile(folder, tried)
            if verdict.read() is not None:
                return
        run_isolated(_LOAD, {"shape": shape, "dtype": dtype}, model)
        if verdict is not None:
            verdict.write(b"runs")

    def session(self, model: bytes, *, tf32: bool = False) -> Any:
        """Return a new ``onnxruntime.InferenceSession`` on the device.

        Raises:
            DeviceError: the session does not use the device.
            Exception: ONNX Runtime rejects the model; its exceptions have no common base class.
        """
        options = self._ort.SessionOptions()
        options.log_severity_level = _SILENT
        providers = [(provider, _options(name, number, tf32)) for provider, name, number in self._providers]
        # By default, a failing provider is replaced by the CPU, and a message is printed to standard output,
        # among the results.
        session = self._ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
        session.disable_fallback()
        used = session.get_providers()
        if used[:1] != [providers[0][0]]:
            raise DeviceError(f"ONNX Runtime fell back to {', '.join(used)}")
        return session

    def free_memory(self) -> None:
        """Free the memory of all sessions that are not running. They are made again when they are needed."""
        for network in list(self._networks):
            network.free_memory()

    def _probe(self) -> None:
        """Run a small network on the device.

        Raises:
            DeviceError: it fails, runs elsewhere or returns a wrong number.
        """
        printed = io.StringIO()
        try:
            if self.device.startswith(("cuda", "tensorrt")) and hasattr(self._ort, "preload_dlls"):
                # Finds CUDA and cuDNN in their pip packages, and prints what is missing.
                with contextlib.redirect_stdout(printed):
                    self._ort.preload_dlls()
            (y,) = self.session(PROBE).run(["y"], {"x": np.full((1, 1, 1, 1), 3, np.float32)})
            if y.item() != 6:
                raise DeviceError(f"it computed 2 * 3 = {y.item()}")
        except Exception as error:  # a provider's libraries raise any type
            reasons = [*_missing(printed.getvalue()), _last_line(error).rstrip(".")]
            raise DeviceError(
                f"the device {self.device!r} does not work: {'; '.join(reasons)}. {_advice(self.device)}"
            ) from error


def _options(provider: str, number: str, tf32: bool) -> dict[str, str]:
    """Return the options of a provider, on the GPU with this number."""
    if provider == "cuda":
        return {**_CUDA_OPTIONS, "use_tf32": str(int(tf32)), "device_id": number}
    return {"device_id": number} if provider == "tensorrt" else {}


@dataclass(frozen=True, slots=True)
class _Session:
    """A session, and what to hold while it runs."""

    session: Any
    turn: AbstractContextManager[Any]


class _SessionNetwork:
    """A network with a session for each shape of its input.

    A convolution on CUDA remembers its preparation for one shape, that of the last run. If shapes took turns
    in a session, each run would prepare all convolutions again, which takes longer than the run itself.

    Arrays are passed to ``run``, not bound to the device before: binding copies while it holds the
    interpreter's lock, and ``run`` copies the same bytes without it.

    Args:
        engine: makes sessions.
        model: the ONNX file's bytes.
        tf32: whether sessions may use TF32.
        session: the first one.
    """

    def __init__(self, engine: OnnxRuntimeEngine, model: bytes, tf32: bool, session: Any) -> None:
        self._engine = engine
        self._model = model
        self._tf32 = tf32
        self._input: str = session.get_inputs()[0].name
        self._outputs: list[str] = [output.name for output in session.get_outputs()]
        self._lock = threading.Lock()
        self._unused: Any = session
        self._sessions: dict[tuple[int, ...], _Session] = {}

    def __call__(self, batch: Array, outputs: Sequence[str] = ()) -> Mapping[str, Array]:
        batch = np.ascontiguousarray(batch)
        try:
            return self._run(batch, outputs)
        except DeviceMemoryError:
            self._engine.free_memory()
        return self._run(batch, outputs)

    def free_memory(self) -> None:
        with self._lock:
            self._unused = None
            self._sessions = {}

    def _run(self, batch: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        device = self._engine.device
        names = list(outputs) or self._outputs
        try:
            session = self._for_shape(batch.shape)
            with session.turn:
                arrays = session.session.run(names, {self._input: batch})
        except DeviceError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            reason = _last_line(error)
            kind = DeviceMemoryError if _OUT_OF_MEMORY.search(str(error)) else DeviceError
            if kind is DeviceError and device == "cpu":
                raise ModelError(f"ONNX Runtime cannot run this model: {reason}") from error
            raise kind(
                f"ONNX Runtime failed on {device!r}: {reason}; "
                "another program may use its memory; the device cpu needs no GPU"
            ) from error
        return dict(zip(names, arrays, strict=True))

    def _for_shape(self, shape: tuple[int, ...]) -> _Session:
        with self._lock:
            if shape not in self._sessions:
                session = self._unused or self._engine.session(self._model, tf32=self._tf32)
                self._unused = None
                # On a GPU, sessions run beside each other; not all providers allow two runs of one session.
                turn = nullcontext() if self._engine.device == "cpu" else threading.Lock()
                self._sessions[shape] = _Session(session, turn)
            return self._sessions[shape]


def _runtime() -> Any:
    """Return the module ``onnxruntime``.

    Raises:
        DeviceError: it is not installed, or broken.
    """
    # Read when the library is loaded. Without it, telemetry keeps a database in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        # During the import, before its log can be set, ONNX Runtime 1.23 to 1.29 warns of graphics cards of
        # unknown vendors, as virtual machines have.
        with nullcontext() if "onnxruntime" in sys.modules else without_stderr():
            import onnxruntime
    except ImportError as error:
        if installed_distributions():
            raise DeviceError(f"ONNX Runtime is broken ({_last_line(error)}). {_advice('cuda')}") from error
        raise DeviceError("ONNX Runtime is not installed: pip install 'arcage[gpu]'") from error
    # After one of two distributions has been removed, a folder without code remains.
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(f"ONNX Runtime is broken: its package is empty. {_advice('cuda')}")
    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(_SILENT)
    return onnxruntime


def _providers(runtime: Any) -> dict[str, str]:
    """Return the runtime's names of its providers by their short names, in its order of preference."""
    names = [p.removesuffix(_SUFFIX) for p in runtime.get_available_providers() if p not in _REMOTE]
    return {_SHORT.get(name, name.lower()): name + _SUFFIX for name in names}


def _not_installed(device: str, installed: Mapping[str, str]) -> str:
    offers = f"the installed ONNX Runtime offers: {', '.join(installed) or 'nothing'}"
    return f"the device {device!r} is not installed. {_advice(device)} ({offers})"


def _unknown(device: str) -> str:
    found = installed_providers()
    offers = f" (the installed ONNX Runtime offers: {', '.join(found)})" if found else ""
    return (
        f"there is no device {device!r}: use auto, cpu, cuda or tensorrt (NVIDIA), rocm or migraphx (AMD), "
        f"directml (Windows), coreml (macOS) or openvino{offers}"
    )


def _advice(device: str) -> str:
    device = device.partition(":")[0]
    install = _INSTALL.get(device, "pip install onnxruntime")
    found = installed_distributions()
    if len(found) > 1:
        return (
            f"{' and '.join(found)} are both installed and break each other. Remove them and install one: "
            f"pip uninstall -y {' '.join(found)} && {install}"
        )
    if device in ("cuda", "tensorrt") and "onnxruntime-gpu" in found:
        return (
            "Check that `nvidia-smi` lists a GPU, and that its driver is new enough for the CUDA version of "
            f"onnxruntime-gpu. To install the CUDA libraries: {install}"
            + (
                ". TensorRT is not one of them: install it as its own guide says"
                if device == "tensorrt"
                else ""
            )
        )
    if device == "coreml":
        return f"It needs macOS and: {install}"
    remove = f"pip uninstall -y {found[0]} && " if found else ""
    return f"Install it: {remove}{install}"


def _with_shape(model: bytes, name: str, shape: tuple[int, ...]) -> bytes:
    """Return the model with another shape of its input, and none declared for other tensors."""
    # Imported here: most networks accept any shape, and need no onnx package.
    from arcage.embedder.onnx_model import parse

    changed = parse(model)
    graph = changed.graph
    del graph.value_info[:]
    (image,) = (i for i in graph.input if i.name == name)
    for dim, size in zip(image.type.tensor_type.shape.dim, shape, strict=True):
        dim.Clear()
        if size >= 0:
            dim.dim_value = size
    for output in graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()
    return bytes(changed.SerializeToString())


def _missing(printed: str) -> list[str]:
    """Return what ``preload_dlls`` printed, in short."""
    lines = [line for line in printed.splitlines() if line and not line.startswith("Please follow http")]
    missing = [found[1] for line in lines if (found := _NOT_LOADED.match(line))]
    others = [line for line in lines if not _NOT_LOADED.match(line)]
    return [*([f"cannot load {', '.join(missing)}"] if missing else []), *others]


def _last_line(error: Exception) -> str:
    """Return the last line of a message, without the place in ONNX Runtime's code and the computer's name."""
    lines = str(error).strip().splitlines()
    text = _CODE.sub("", lines[-1]).partition(" ; GPU=")[0] if lines else ""
    return text or type(error).__name__
