"""Choose the engine for a device."""

from __future__ import annotations

from arcage.embedder.engines.base import Engine, Hint, Precision
from arcage.errors import DeviceError


def make_engine(
    device: str = "auto",
    hint: Hint = "latency",
    *,
    threads: int | None = None,
    precision: Precision = "auto",
) -> Engine:
    """The engine for ``auto``, ``cpu``, or a provider of ONNX Runtime by its short name (``cuda``).

    ``auto`` takes CUDA where ``onnxruntime-gpu`` is installed and really runs on it, and the CPU
    otherwise; the engine's ``note`` says so where the two differ.

    Raises:
        DeviceError: ``device`` was named and cannot be had.
    """
    from arcage.embedder.engines.openvino import OpenVinoEngine

    note = ""
    device = device.lower()
    if device != "cpu":
        from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine, installed_distributions

        if device != "auto":
            return OnnxRuntimeEngine(device)
        # The package's name is enough to rule CUDA out; importing the runtime takes half a second.
        if "onnxruntime-gpu" in installed_distributions():
            try:
                return OnnxRuntimeEngine("cuda")
            except DeviceError as error:
                note = f"using the CPU, although onnxruntime-gpu is installed: {error}"
    engine = OpenVinoEngine(hint, threads=threads, precision=precision)
    engine.note = note
    return engine
