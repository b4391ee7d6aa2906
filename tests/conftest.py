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
    """A shell's background jobs ignore Ctrl-C, and so would all that the tests start and stop."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the fake pipeline in the place of the real one."""
    fakes.install(monkeypatch.setattr)
    monkeypatch.setattr(fakes.FakeHeads, "calls", [])


@pytest.fixture
def arcage(fake: None) -> Callable[..., Any]:
    """Run the command line on the fake pipeline; gives exit_code, stdout and stderr."""
    from arcage.cli import app

    def run(*arguments: object, stdin: bytes | None = None) -> Any:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start ``arcage`` on the fake pipeline as a process of its own; keywords are the fake's variables."""

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
    """Needs the bundled models and heads."""
    package = ROOT / "arcage"
    for part in ("embedder/models/pack.json", "heads/default/manifest.json"):
        if not (package / part).exists():
            pytest.skip(f"arcage/{part} is not built")


@pytest.fixture(scope="session")
def photo() -> bytes:
    """The photo that the repository carries: 512x512, one face."""
    return (ROOT / "examples" / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="session")
def astronaut(photo: bytes) -> U8:
    """Its pixels, shape (512, 512, 3), RGB; read-only."""
    from arcage.images.decode import decode

    image = decode(photo)
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XDG_CACHE_HOME of tests that compile the bundled networks: shared, and not the user's."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def runtime() -> OnnxRuntimeEngine:
    """ONNX Runtime on the CPU: the reference."""
    from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine("cpu")


@pytest.fixture(scope="session")
def openvino(compiled: Path) -> OpenVinoEngine:
    """What is compared with it."""
    from arcage.embedder.engines.openvino import OpenVinoEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        return OpenVinoEngine()


@pytest.fixture(scope="session")
def make_extractor(compiled: Path) -> Callable[..., Extractor]:
    """Make an Extractor of the bundled pack, its networks loaded."""
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
    """The bundled pack, for one image at a time."""
    return make_extractor(hint="latency")


@pytest.fixture(scope="session")
def yunet(extractor: Extractor) -> FaceDetector:
    """The bundled face detector."""
    return extractor.networks.detector
