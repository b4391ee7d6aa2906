"""The GPUs that CUDA offers, with a fake driver."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from arcage.embedder.engines.choose import make_engine
from arcage.embedder.engines.gpus import all_gpus, named_gpus
from arcage.errors import DeviceError


def driver(monkeypatch: pytest.MonkeyPatch, count: int, code: int = 0) -> None:
    def get_count(place: Any) -> int:
        place._obj.value = count
        return 0

    fake = SimpleNamespace(cuInit=lambda flags: code, cuDeviceGetCount=get_count)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: fake)


def test_all_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, 3)
    assert all_gpus() == named_gpus("CUDA:all") == ("cuda:0", "cuda:1", "cuda:2")
    for other in ("cuda", "cuda:1", "cpu", "auto"):
        assert named_gpus(other) == ()


@pytest.mark.parametrize(
    ("count", "code", "words"), [(0, 0, "finds no GPU"), (2, 100, r"no GPU \(error 100\)")]
)
def test_no_gpu(count: int, code: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, count, code)
    with pytest.raises(DeviceError, match=rf"^the device 'cuda:all' is not available: .*{words}.*nvidia-smi"):
        all_gpus()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DeviceError, match=r"cannot be loaded .*cannot open shared object file"):
        named_gpus("cuda:all")


def test_one_process_has_one_gpu() -> None:
    with pytest.raises(DeviceError, match=r"^cuda:all needs a process for each GPU"):
        make_engine("cuda:all")
