"""Fixtures shared by all tests: the fake pipeline, the command line, the bundled models and a photo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fakes
import pytest
from typer.testing import CliRunner

if TYPE_CHECKING:
    from arcage.embedder.candidates import FaceDetector
    from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
    from arcage.embedder.engines.openvino import OpenVinoEngine
    from arcage.embedder.extractor import Extractor
    from arcage.types import U8

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Handle SIGINT: background jobs of a shell ignore it, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the real pipeline by the fake one."""
    fakes.install(monkeypatch.setattr)
    monkeypatch.setattr(fakes.FakeHeads, "calls", [])


@pytest.fixture
def arcage(fake: None) -> Callable[..., Any]:
    """Run the command line on the fake pipeline; the result has exit_code, stdout and stderr."""
    from arcage.cli import app

    def run(*arguments: object, stdin: bytes | None = None) -> Any:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start ``arcage`` on the fake pipeline in a new process; keywords are environment variables."""

    def popen(*arguments: object, **variables: object) -> subprocess.Popen[str]:
        environment = {name: str(value) for name, value in variables.items()}
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "fakes.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        )

    return popen


@pytest.fixture
def bundled() -> None:
    """Skip without the bundled models and heads."""
    package = ROOT / "arcage"
    for part in ("embedder/models/pack.json", "heads/default/manifest.json"):
        if not (package / part).exists():
            pytest.skip(f"arcage/{part} is not built")


@pytest.fixture(scope="session")
def photo() -> bytes:
    """The encoded example photo: 512 x 512 pixels, one face."""
    return (ROOT / "examples" / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="session")
def astronaut(photo: bytes) -> U8:
    """The pixels of the example photo, shape (512, 512, 3), RGB; read-only."""
    from arcage.images.decoder import decode

    image = decode(photo)
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XDG_CACHE_HOME for tests that compile the bundled networks, shared by all of them."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def runtime() -> OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, the reference for other engines."""
    from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine("cpu")


@pytest.fixture(scope="session")
def openvino(compiled: Path) -> OpenVinoEngine:
    """OpenVINO on the CPU."""
    from arcage.embedder.engines.openvino import OpenVinoEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        return OpenVinoEngine()


@pytest.fixture(scope="session")
def make_extractor(compiled: Path) -> Callable[..., Extractor]:
    """Return a function that makes an Extractor of the bundled pack, with its networks loaded."""
    if not (ROOT / "arcage" / "embedder" / "models" / "pack.json").exists():
        pytest.skip("arcage/embedder/models/pack.json is not built")
    from arcage.embedder.extractor import Extractor

    def make(*args: Any, **kwargs: Any) -> Extractor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(compiled))
            extractor = Extractor(*args, **{"device": "cpu", **kwargs})
            assert extractor.engine.device == "cpu"
        return extractor

    return make


@pytest.fixture(scope="session")
def extractor(make_extractor: Callable[..., Extractor]) -> Extractor:
    """An Extractor of the bundled pack, for one image at a time."""
    return make_extractor(hint="latency")


@pytest.fixture(scope="session")
def yunet(extractor: Extractor) -> FaceDetector:
    """The bundled face detector."""
    return extractor.networks.detector
