"""The CPU engine: precision, and threads that come to it at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arcage.embedder.engines import openvino
from arcage.embedder.engines.base import Precision
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import bundled_pack

PHOTO = Path(__file__).parents[3] / "examples" / "astronaut.jpg"

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
def test_two_signals_at_once_while_an_engine_lives_and_after_another_thread_dropped_it(others: str) -> None:
    # OpenVINO leaves the thread a signal stack that is too small, and freed later: SIGSEGV without a word.
    subprocess.run([sys.executable, "-c", SIGNALS, others], check=True, timeout=60)


def test_threads_that_bring_the_first_arrays_at_once_do_not_wait_forever() -> None:
    # Where the engine has not met NumPy before, nearly every one of these hangs.
    for _ in range(3):
        subprocess.run([sys.executable, "-c", RACE], check=True, timeout=30)


@pytest.mark.parametrize(
    ("native", "precision", "expected"),
    [("bf16", "auto", "bf16"), ("bf16", "float32", "f32"), ("f16", "auto", "f32"), ("f32", "auto", "f32")],
)
def test_only_what_tolerates_it_is_computed_in_bfloat16(
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


def test_the_quick_descriptors_are_those_of_float32(make_extractor: Callable[..., Extractor]) -> None:
    quick, exact = make_extractor(), make_extractor(precision="float32")
    assert quick.fingerprint == exact.fingerprint
    assert "bfloat16" not in exact.engine.name
    (a,), (b,) = (e.extract(PHOTO.read_bytes()).descriptors.astype(np.float64) for e in (quick, exact))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.998


def test_a_compiled_network_is_kept_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    # Names of nodes that were folded into an output are lost on the way; nobody asks for those.
    for name in (f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)):
        np.testing.assert_array_equal(second[name], first[name])
    # Another number of threads is another network.
    answers(threads=2)
    assert len(compiled) == 2
    assert len(list((tmp_path / "arcage" / "openvino").iterdir())) == 2
