"""The CPU engine: precision, compiled networks, threads and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from detectors import cosine
from mapped import mapped_memory

from arcage.embedder.engines import openvino
from arcage.embedder.engines.base import Precision
from arcage.embedder.engines.compiled import check_compiled
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import bundled_pack
from arcage.errors import ModelError
from arcage.files import cache_home

RACE = """
import sys, threading
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.packs.record import bundled_pack
OpenVinoEngine()
import openvino
sys.setswitchinterval(1e-6)
together = threading.Barrier(4)
def meet():
    together.wait()
    openvino.Type.f32.to_dtype()
threads = [threading.Thread(target=meet) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

SIGNALS = """
import gc, signal, sys, threading, time
if sys.argv[1] == "faulthandler":
    import faulthandler
    faulthandler.enable()
from arcage.embedder.engines.openvino import OpenVinoEngine
seen = []
two = [signal.SIGTERM, signal.SIGINT]
for number in two:
    signal.signal(number, lambda number, _: seen.append(number))
def send():
    seen.clear()
    signal.pthread_sigmask(signal.SIG_BLOCK, two)
    for number in two:
        signal.pthread_kill(threading.get_ident(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, two)
    while sorted(seen) != sorted(two):
        time.sleep(0.01)
engines = [OpenVinoEngine()]
send()
def drop():
    engines.clear()
    gc.collect()
thread = threading.Thread(target=drop)
thread.start()
thread.join()
send()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("others", ["faulthandler", "nothing"])
def test_two_signals_at_once_with_an_engine_and_after_another_thread_deleted_it(others: str) -> None:
    # OpenVINO leaves the thread a signal stack that is too small, and freed later: a segmentation fault.
    subprocess.run([sys.executable, "-c", SIGNALS, others], check=True, timeout=60)


def test_threads_with_the_first_arrays_do_not_deadlock() -> None:
    # Without the engine's workaround nearly all of these hang.
    for _ in range(3):
        subprocess.run([sys.executable, "-c", RACE], check=True, timeout=30)


@pytest.mark.parametrize(
    ("native", "precision", "expected"),
    [("bf16", "auto", "bf16"), ("bf16", "float32", "f32"), ("f16", "auto", "f32"), ("f32", "auto", "f32")],
)
def test_only_embedders_run_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, native: str, precision: Precision, expected: str
) -> None:
    compiled: list[str] = []

    class Core:
        def get_property(self, *_: str) -> str:
            return native

        def set_property(self, *_: object) -> None:
            pass

        def read_model(self, model: bytes) -> Any:
            return SimpleNamespace(reshape=lambda shape: None)

        def compile_model(self, graph: object, device: str, properties: dict[str, str]) -> Any:
            compiled.append(properties["INFERENCE_PRECISION_HINT"])
            return SimpleNamespace(outputs=[], create_infer_request=lambda: None)

    runtime = SimpleNamespace(
        __version__="1.0-x", Core=Core, Type=SimpleNamespace(bf16="bf16"), Tensor=np.ndarray
    )
    monkeypatch.setattr(openvino, "_runtime", lambda: runtime)
    monkeypatch.setattr(openvino, "compiled_folder", lambda: None)
    engine = OpenVinoEngine(precision=precision)
    engine.load(b"a detector", (1, 3, 64, 64))
    engine.load(b"an embedder", (1, 112, 112, 3), reduced_precision=True)
    assert compiled == ["f32", expected]
    assert ("bfloat16" in engine.name) == (expected == "bf16")


def test_descriptors_in_bfloat16_are_those_of_float32(
    make_extractor: Callable[..., Extractor], photo: bytes
) -> None:
    fast, exact = make_extractor(), make_extractor(precision="float32")
    assert fast.fingerprint == exact.fingerprint
    assert "bfloat16" not in exact.engine.name
    (a,), (b,) = (e.extract(photo).descriptors for e in (fast, exact))
    assert cosine(a, b) > 0.998


def test_a_compiled_network_is_kept_for_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pack = bundled_pack()
    model = pack.read(pack.detector)
    canvas = np.random.default_rng(0).random((1, 3, 64, 64), np.float32) * 255
    compiled: list[int] = []

    def answers(threads: int = 1) -> Any:
        engine = OpenVinoEngine(threads=threads)
        compile_model = engine._core.compile_model
        engine._core = SimpleNamespace(
            read_model=engine._core.read_model,
            import_model=engine._core.import_model,
            compile_model=lambda *a: compiled.append(1) or compile_model(*a),
        )
        return engine.load(model, (1, 3, 64, 64))(canvas)

    first, second = answers(), answers()
    assert len(compiled) == 1
    # The file lacks the names of nodes that were merged into an output, which are not used.
    for name in (f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)):
        np.testing.assert_array_equal(second[name], first[name])
    # A network is compiled for each number of threads.
    answers(threads=2)
    assert len(compiled) == 2
    assert len(list((tmp_path / "arcage" / "openvino").iterdir())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_runtime_does_not_write_to_the_blob_of_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pack = bundled_pack()
    model = pack.read(pack.embedders[0])
    crops = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), np.uint8)
    expected = OpenVinoEngine().load(model, crops.shape)(crops)["descriptors"]
    network = OpenVinoEngine().load(model, crops.shape)
    np.testing.assert_array_equal(network(crops)["descriptors"], expected)
    (kept,) = (tmp_path / "arcage" / "openvino").iterdir()
    memory = mapped_memory(kept)
    # What is written to a mapped file would be lost with its memory.
    assert memory["Private_Dirty"] == memory["Anonymous"] == 0
    assert memory["Size"] > 5_000


def test_a_folder_for_compiled_networks_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = bundled_pack()
    model = pack.read(pack.detector)
    canvas = np.zeros((1, 3, 64, 64), np.float32)
    (tmp_path / "file").write_text("in the way")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    def works() -> bool:
        return "cls_8" in OpenVinoEngine().load(model, (1, 3, 64, 64))(canvas)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert works()
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    assert works()
    with monkeypatch.context() as patch:
        patch.delenv("XDG_CACHE_HOME")
        patch.setattr(Path, "home", no_home)
        assert works()
    # An existing folder that cannot be written is not tried (root can write everywhere).
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert works()
    assert cache_home() == tmp_path / "cache" / "arcage"
    folder = tmp_path / "cache" / "arcage" / "openvino"
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    # With one it is used, and a half-written file after a crash does no harm.
    assert works()
    (blob,) = folder.iterdir()
    whole = blob.stat().st_size
    for size in (whole - 1, whole // 2, 100, 0):
        os.truncate(blob, size)
        assert works()


def test_a_damaged_compiled_network_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pack = bundled_pack()
    model = pack.read(pack.detector)
    canvas = np.random.default_rng(0).random((1, 3, 64, 64), np.float32) * 255

    def scores() -> Any:
        return OpenVinoEngine().load(model, (1, 3, 64, 64))(canvas)["cls_8"]

    expected = scores()
    (kept,) = (tmp_path / "arcage" / "openvino").iterdir()
    right = kept.read_bytes()
    damaged = bytearray(right)
    for at in range(len(damaged) // 4, len(damaged) * 3 // 4, 401):
        damaged[at] ^= 0x10
    kept.write_bytes(damaged)
    np.testing.assert_array_equal(scores(), expected)
    assert check_compiled(kept) == "right"


def test_a_model_that_the_runtime_rejects_is_a_model_error(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    with pytest.raises(ModelError, match=r"OpenVINO cannot load this model: \S"):
        OpenVinoEngine().load(b"\x08\x07not a graph", (1, 3, 320, 320))
