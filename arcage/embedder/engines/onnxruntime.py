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
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from arcage.embedder.engines.base import Network
from arcage.embedder.engines.compiled import CompiledFile, compiled_folder
from arcage.embedder.engines.isolated import run_isolated
from arcage.embedder.onnx_check import check_onnx
from arcage.errors import DeviceError, ModelError
from arcage.files import sha256_bytes
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
    # TF32 rounds to 10 bits. Its effect on descriptors has not been measured.
    "use_tf32": "0",
}

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

    Raises:
        DeviceError: the provider is not installed, or does not work on this machine.
    """

    def __init__(self, device: str) -> None:
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
        self.parallel = device == "cpu"
        self.detector_batches: tuple[int, ...] = (1,) if device == "cpu" else (1, 8, 32)
        self.embedder_batches: tuple[int, ...] = (1, 8) if device == "cpu" else (8, 64)
        self._turn = threading.Lock()
        self.note = ""
        self._provider = installed[device]
        on_gpu = {"device_id": number}
        options = {"cuda": {**_CUDA_OPTIONS, **on_gpu}, "tensorrt": on_gpu}.get(device, {})
        self._providers: list[Any] = [(self._provider, options)]
        if device == "tensorrt" and "cuda" in installed:
            self._providers.append((installed["cuda"], {**_CUDA_OPTIONS, **on_gpu}))
        if device != "cpu":
            # Providers leave a few operators on shapes to the CPU.
            self._providers.append((installed["cpu"], {}))
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
        try:
            session = self._session(model)
            (image,) = session.get_inputs()
            # A named or unknown size accepts any number.
            if any(
                isinstance(have, int) and have != want for have, want in zip(image.shape, shape, strict=True)
            ):
                session = self._session(_with_shape(model, image.name, shape))
        except (DeviceError, ModelError):
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise ModelError(f"ONNX Runtime cannot load this model: {_last_line(error)}") from error
        return _SessionNetwork(session, self.device, nullcontext() if self.parallel else self._turn)

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

    def _session(self, model: bytes) -> Any:
        options = self._ort.SessionOptions()
        options.log_severity_level = _SILENT
        # By default, a failing provider is replaced by the CPU, and a message is printed to standard output,
        # among the results.
        session = self._ort.InferenceSession(model, options, providers=self._providers, enable_fallback=0)
        session.disable_fallback()
        used = session.get_providers()
        if used[:1] != [self._provider]:
            raise DeviceError(f"ONNX Runtime fell back to {', '.join(used)}")
        return session

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
            (y,) = self._session(PROBE).run(["y"], {"x": np.full((1, 1, 1, 1), 3, np.float32)})
            if y.item() != 6:
                raise DeviceError(f"it computed 2 * 3 = {y.item()}")
        except Exception as error:  # a provider's libraries raise any type
            reasons = [*printed.getvalue().splitlines(), _last_line(error)]
            raise DeviceError(
                f"the device {self.device!r} does not work: {'; '.join(r for r in reasons if r)}. "
                + _advice(self.device)
            ) from error


class _SessionNetwork:
    """A session of ONNX Runtime as a network."""

    def __init__(self, session: Any, device: str, turn: AbstractContextManager[Any]) -> None:
        self._session = session
        self._device = device
        self._turn = turn
        self._input: str = session.get_inputs()[0].name
        self._outputs: list[str] = [o.name for o in session.get_outputs()]

    def __call__(self, batch: Array, outputs: Sequence[str] = ()) -> Mapping[str, Array]:
        names = list(outputs) or self._outputs
        try:
            with self._turn:
                arrays = self._session.run(names, {self._input: np.ascontiguousarray(batch)})
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            if self._device == "cpu":
                raise ModelError(f"ONNX Runtime cannot run this model: {_last_line(error)}") from error
            raise DeviceError(
                f"ONNX Runtime failed on {self._device!r}: {_last_line(error)}; "
                "another program may use its memory; the device cpu needs no GPU"
            ) from error
        return dict(zip(names, arrays, strict=True))


def _runtime() -> Any:
    """Return the module ``onnxruntime``.

    Raises:
        DeviceError: it is not installed, or broken.
    """
    # Read when the library is loaded. Without it, telemetry keeps a database in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
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


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
