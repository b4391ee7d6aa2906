"""The choice of an engine for a device, with a fake ONNX Runtime in place of a GPU's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from runtimes import CPU, CUDA, FakeRuntime

from arcage.embedder.engines.choose import make_engine
from arcage.embedder.engines.onnxruntime import installed_providers
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.errors import DeviceError


def test_cuda_is_used_if_it_works(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime([CUDA, CPU]))
    for engine in (make_engine("cuda"), make_engine("auto")):
        assert (engine.device, engine.note) == ("cuda", "")
    assert runtime.preloaded == 2
    assert runtime.runs == 2
    (name, options), cpu = runtime.asked[0]
    assert (name, cpu[0]) == (CUDA, CPU)
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    out = engine.load(b"", (-1, 3))(np.ones((1, 3), np.float32))
    assert out["y"].tolist() == [[2, 2, 2]]


def test_only_networks_that_allow_it_use_tf32(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime([CUDA, CPU]))
    for precision, reduced, expected in (("auto", True, "1"), ("auto", False, "0"), ("float32", True, "0")):
        engine = make_engine("cuda", precision=precision)  # type: ignore[arg-type]
        assert runtime.asked[-1][0][1]["use_tf32"] == "0"
        network = engine.load(b"", (-1, 3), reduced_precision=reduced)
        for rows in (1, 2):
            network(np.ones((rows, 3), np.float32))
            assert runtime.asked[-1][0][1]["use_tf32"] == expected


def test_another_gpu_is_chosen_by_its_number(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime(["TensorrtExecutionProvider", CUDA, CPU]))
    for device, provider in (("cuda:1", CUDA), ("CUDA:0", CUDA), ("tensorrt:2", "TensorrtExecutionProvider")):
        engine = make_engine(device)
        assert engine.device == device.lower()
        name, options = runtime.asked[-1][0]
        assert (name, options["device_id"]) == (provider, device[-1])
    assert runtime.asked[-1][1] == (CUDA, {**runtime.asked[0][0][1], "device_id": "2"})
    for device in ("cuda:", "cuda:x", "coreml:1", "cpu:0"):
        with pytest.raises(DeviceError, match="there is no device"):
            make_engine(device)


def test_tensorrt_falls_back_to_cuda_for_single_operators(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime(["TensorrtExecutionProvider", CUDA, CPU]))
    assert make_engine("tensorrt").device == "tensorrt"
    assert [name for name, _ in runtime.asked[0]] == ["TensorrtExecutionProvider", CUDA, CPU]


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        (FakeRuntime([CUDA, CPU], works=False), "fell back to CPU"),
        (
            FakeRuntime([CUDA, CPU], error="CUDA failure 100: no CUDA-capable device is detected"),
            "failure 100",
        ),
        (FakeRuntime([CUDA, CPU], factor=0.0), r"2 \* 3 = 0"),
    ],
    ids=["a session on the CPU", "a session that fails", "a wrong result"],
)
def test_cuda_that_is_only_listed_is_not_used(
    use_runtime: Callable[..., FakeRuntime], runtime: FakeRuntime, words: str
) -> None:
    use_runtime(runtime)
    assert "cuda" in installed_providers()
    with pytest.raises(DeviceError, match=words) as caught:
        make_engine("cuda")
    assert "nvidia-smi" in str(caught.value)
    engine = make_engine("auto")
    assert isinstance(engine, OpenVinoEngine)
    assert engine.device == "cpu"
    assert "using the CPU" in engine.note
    assert "\n" not in engine.note


def test_output_of_the_runtime_becomes_part_of_the_error(
    use_runtime: Callable[..., FakeRuntime], capsys: pytest.CaptureFixture[str]
) -> None:
    why = "cannot open shared object file: No such file or directory"
    text = "\n".join(f"Failed to load {name}: {name}: {why}" for name in ("libcublas.so.13", "libcudnn.so.9"))
    text += "\nPlease follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA."
    use_runtime(FakeRuntime([CUDA, CPU], works=False, preload=lambda: print(text)))
    with pytest.raises(
        DeviceError, match=r"does not work: cannot load libcublas\.so\.13, libcudnn\.so\.9; ONNX Runtime fell"
    ):
        make_engine("cuda")
    assert capsys.readouterr().out == ""


def test_auto_without_the_gpu_package_does_not_import_the_runtime(
    use_runtime: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_runtime(None, ("onnxruntime",))  # importing it raises
    engine = make_engine("auto")
    assert (engine.device, engine.note) == ("cpu", "")


@pytest.mark.parametrize(
    ("runtime", "distributions", "device", "words"),
    [
        (None, (), "cuda", r"not installed: pip install 'arcage\[gpu\]'"),
        (None, ("onnxruntime-gpu",), "cuda", "broken"),
        (SimpleNamespace(), ("onnxruntime-gpu",), "cuda", "package is empty"),
        (
            FakeRuntime([CPU]),
            ("onnxruntime",),
            "cuda",
            r"uninstall -y onnxruntime && pip install 'arcage\[gpu\]'",
        ),
        (
            FakeRuntime([CPU]),
            ("onnxruntime", "onnxruntime-gpu"),
            "cuda",
            "onnxruntime and onnxruntime-gpu are both installed and break each other",
        ),
        (FakeRuntime([CPU]), ("onnxruntime",), "coreml", "macOS"),
        (FakeRuntime([CPU]), ("onnxruntime",), "dml", "pip install onnxruntime-directml"),
        (
            FakeRuntime([CUDA, CPU]),
            ("onnxruntime-gpu",),
            "xpu",
            "no device 'xpu': use auto.*cuda, cpu",
        ),
        (FakeRuntime(["AzureExecutionProvider", CPU]), ("onnxruntime",), "azure", "no device"),
    ],
)
def test_every_error_says_what_to_do(
    use_runtime: Callable[..., FakeRuntime],
    runtime: Any,
    distributions: tuple[str, ...],
    device: str,
    words: str,
) -> None:
    use_runtime(runtime, distributions)
    with pytest.raises(DeviceError, match=words):
        make_engine(device)
