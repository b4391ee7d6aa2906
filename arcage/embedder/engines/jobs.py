"""Jobs of worker processes: load a model that is not part of arcage, and run it once on noise.

OpenVINO is loaded with this module, so that its own memory and time do not count as a model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from arcage.embedder.engines.base import Network
from arcage.embedder.engines.isolated import model_error
from arcage.embedder.engines.openvino import compile_model, make_core
from arcage.errors import ArcageError, ModelError
from arcage.types import Array

_CORE = make_core()
_BATCH = 2
"""Size of the trial where the model accepts any."""


def compile_network(args: dict[str, Any], model: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
    """Compile a model with OpenVINO, try it, and reply with the blob.

    Args:
        args: ``shape`` of the input, and ``properties`` of the network, as JSON.
        model: the ONNX file's bytes.
    """
    try:
        compiled, network = compile_model(model, tuple(args["shape"]), args["properties"], _CORE)
        _try(network, np.dtype(compiled.input(0).element_type.to_dtype()), args["shape"])
        yield {}, compiled.export_model().getbuffer()
    except ModelError as error:
        yield model_error(error)


def load_session(args: dict[str, Any], model: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
    """Load a model with ONNX Runtime on the CPU, and try it.

    Args:
        args: ``shape`` of the input, and its data type ``dtype``.
        model: the ONNX file's bytes.
    """
    from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine

    try:
        network = OnnxRuntimeEngine("cpu").load(model, tuple(args["shape"]))
        _try(network, np.dtype(args["dtype"]), args["shape"])
        yield {}, b""
    except ModelError as error:
        yield model_error(error)
    except ArcageError as error:
        yield model_error(ModelError(str(error)))


def _try(network: Network, dtype: np.dtype[Any], shape: list[int]) -> None:
    size = [side if side >= 0 else _BATCH for side in shape]
    noise = np.random.default_rng(0).integers(0, 256, size).astype(dtype)
    check_finite(network(noise))


def check_finite(outputs: Mapping[str, Array]) -> None:
    """Check that all outputs of a network are numbers.

    Raises:
        ModelError: one is NaN or infinite.
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise ModelError(f"the model returns NaN or infinity ({name}): it is damaged, get it again")
