"""Choose the engine for a device."""

from __future__ import annotations

from arcage.embedder.engines.base import Engine, Hint, Precision
from arcage.embedder.engines.gpus import ALL_GPUS
from arcage.errors import DeviceError


def make_engine(
    device: str = "auto",
    hint: Hint = "latency",
    *,
    threads: int | None = None,
    precision: Precision = "auto",
) -> Engine:
    """Return an engine that runs on the device.

    Args:
        device: ``auto``, ``cpu``, or the short name of an ONNX Runtime provider (``cuda``, ``rocm``,
            ``coreml``, ...). ``auto`` uses CUDA if ``onnxruntime-gpu`` is installed and a network runs on it,
            and the CPU otherwise; if the package is installed and does not work, the engine's ``note`` says
            why. Only ``auto`` falls back.
        hint: what the CPU engine is optimised for.
        threads: of the CPU engine; by default one for each processor.
        precision: ``float32`` turns off reduced formats.

    Raises:
        DeviceError: a named device is not available.
    """
    from arcage.embedder.engines.openvino import OpenVinoEngine

    note = ""
    device = device.lower()
    if device == ALL_GPUS:
        raise DeviceError(
            f"{ALL_GPUS} needs a process for each GPU, as `arcage extract` and `arcage predict` start them: "
            "use one of them, such as cuda:0"
        )
    if device != "cpu":
        from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine, installed_distributions

        if device != "auto":
            return OnnxRuntimeEngine(device, precision=precision)
        # Without this package there is no CUDA. Importing the runtime to ask it takes half a second.
        if "onnxruntime-gpu" in installed_distributions():
            try:
                return OnnxRuntimeEngine("cuda", precision=precision)
            except DeviceError as error:
                note = f"using the CPU although onnxruntime-gpu is installed: {error}"
    engine = OpenVinoEngine(hint, threads=threads, precision=precision)
    engine.note = note
    return engine
