"""The requests in docs/guide/server.md get the responses that are shown there, on the real pipeline."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server, running, zipped  # noqa: E402

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "server.md").read_text("utf-8")
SHOWN = re.findall(r"```sh\n(curl .*?)\n```\n\n```(?:json|csv)\n(.*?)\n```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)
ADDRESS = "127.0.0.1:7860"
_NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture(scope="module")
def real(compiled: Path) -> Iterator[Server]:
    if not (ROOT / "arcage" / "heads" / "default" / "manifest.json").exists():
        pytest.skip("the bundled heads are not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        with running(device="cpu") as server:
            yield server


@pytest.fixture
def folder(tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the page uses."""
    import cv2
    import numpy as np

    beach = cv2.imencode(".jpg", np.full((300, 400, 3), (220, 200, 90), np.uint8))[1].tobytes()
    for name, data in {
        "examples/astronaut.jpg": photo,
        "photos/astronaut.jpg": photo,
        "photos/beach.jpg": beach,
        "photos.zip": zipped({"astronaut.jpg": photo, "beach.jpg": beach}),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_same(seen: str, shown: str) -> None:
    """Compare texts; numbers may differ a little, as processors with and without bfloat16 do."""
    assert _NUMBER.sub("#", seen) == _NUMBER.sub("#", shown)
    numbers = [list(map(float, _NUMBER.findall(text))) for text in (seen, shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.03, abs=0.03)


def answer(command: str, server: Server) -> str:
    command = command.replace(ADDRESS, f"127.0.0.1:{server.port}").replace("curl ", "curl -sS ", 1)
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl is missing")
@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_the_server_answers(command: str, shown: str, real: Server, folder: Path) -> None:
    check_same(answer(command, real), shown)


def test_the_page_shows_requests() -> None:
    assert len(SHOWN) >= 5
    assert len(PYTHON) == 1


def test_the_client_in_python(real: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(PYTHON[0].replace(ADDRESS, f"127.0.0.1:{real.port}"), {})
    age, gender = capsys.readouterr().out.split()
    assert float(age) == pytest.approx(35.7, abs=1)
    assert gender == "female"


def test_numbers_are_compared() -> None:
    check_same('{"age":35.7,"face":0}', '{"age":35.9,"face":0}')
    for other in ('{"age":39.9,"face":0}', '{"age":35.7,"face":1}', '{"age":null,"face":0}'):
        with pytest.raises(AssertionError):
            check_same('{"age":35.7,"face":0}', other)
