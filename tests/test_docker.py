"""The Dockerfiles: what can be checked without Docker."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import dockerfiles
import pytest
import typer.main
from dockerfiles import ROOT, Step, is_sent, one

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ALLOWED = (
    r"apt-get update && apt-get install -y --no-install-recommends [a-z0-9 ]+ && rm -rf /var/lib/apt/lists/\*"
)


@pytest.fixture(params=FILES, ids=[path.name for path in FILES])
def steps(request: pytest.FixtureRequest) -> list[Step]:
    return dockerfiles.read(request.param)


def test_there_is_one_for_the_cpu_and_one_for_cuda() -> None:
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "cuda.Dockerfile"]


def test_the_base_is_pinned_and_slim(steps: list[Step]) -> None:
    bases = [step.text.partition(" AS ")[0] for step in steps if step.name == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)


def test_it_runs_without_rights_and_without_other_files(steps: list[Step]) -> None:
    names = [step.name for step in steps]
    last = names[len(names) - names[::-1].index("FROM") :]
    assert last.index("USER") < last.index("ENTRYPOINT")
    assert int(one(steps, "USER").text) > 1000
    assert "ADD" not in names
    text = " ".join(step.text for step in steps)
    assert "models fetch" not in text
    assert not re.search(r"curl|wget|https?://(?!127\.0\.0\.1)", text)
    for step in steps:
        if step.name == "RUN" and not step.text.startswith("useradd"):
            assert "pip install --no-cache-dir" in step.text or re.fullmatch(ALLOWED, step.text)


def test_what_is_copied_exists_and_is_sent(steps: list[Step]) -> None:
    sources = [
        source
        for step in steps
        if step.name == "COPY" and "from" not in step.flags
        for source in step.words[:-1]
    ]
    assert sources == ["pyproject.toml", "README.md", "LICENSE", "arcage/"]
    for source in sources:
        assert (ROOT / source).exists()
        assert is_sent(source.rstrip("/"))
    (copied,) = (step for step in steps if "from" in step.flags)
    assert copied.words[0] == copied.words[1] == "/opt/arcage"


def test_what_is_not_sent() -> None:
    for path in (
        ".git/config",
        "tests/fakes.py",
        "docs/guide/app.md",
        "mine/photo.jpg",
        "arcage/__pycache__/cli.pyc",
    ):
        assert not is_sent(path)
    for path in ("arcage/cli.py", "arcage/embedder/models/pack.json", "arcage/app/page.html"):
        assert (ROOT / path).exists()
        assert is_sent(path)


def test_the_entry_point_is_a_command_that_exists(steps: list[Step]) -> None:
    from arcage.cli import app

    program, command, *options = one(steps, "ENTRYPOINT").words
    assert (program, command) == ("arcage", "app")
    group = typer.main.get_command(app)
    context = group.commands[command].make_context(command, list(options))  # type: ignore[attr-defined]
    assert context.params["host"] == "0.0.0.0"
    port = str(context.params["port"])
    assert one(steps, "EXPOSE").text == port
    assert f"http://127.0.0.1:{port}/healthz" in one(steps, "HEALTHCHECK").text


def test_the_one_for_cuda_uses_the_gpu_and_nothing_else() -> None:
    cpu, cuda = (path.read_text("utf-8").splitlines() for path in FILES)
    other = [line for line in cuda if line not in cpu and not line.startswith("#")]
    assert [line.split()[0] for line in other] == ["RUN", "ENV", "ENTRYPOINT"]
    assert '".[app,formats,gpu]"' in other[0]
    assert '"--device", "cuda"' in other[2]


@pytest.mark.docker
@pytest.mark.slow
def test_the_steps_run(
    bundled: None,
    tmp_path: Path,
    photo: bytes,
    pytestconfig: pytest.Config,
) -> None:
    """Install, start, check the health, predict a photo, stop: with the commands of the file."""
    if "docker" not in str(pytestconfig.getoption("-m")):
        pytest.skip("installs packages from PyPI: run it with -m docker")
    pytest.importorskip("starlette")
    from appserver import Server

    root = tmp_path / "image"
    (root / "tmp").mkdir(parents=True)
    steps = dockerfiles.read(ROOT / "docker" / "cpu.Dockerfile")
    left = dockerfiles.build(steps, root)
    assert [text.split()[0] for text in left] == ["apt-get", "useradd"]
    installed = sorted((root / "opt").rglob("*"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = dockerfiles.start(steps, root, "--port", str(port))
    try:
        end = time.monotonic() + 60
        while dockerfiles.health(steps, root, port) and time.monotonic() < end:
            time.sleep(0.2)
        assert dockerfiles.health(steps, root, port) == 0
        (row,) = Server(port).predict(photo).rows
        assert (row["status"], row["gender"]) == ("ok", "female")
    finally:
        process.send_signal(signal.SIGTERM)
        out, words = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == f"http://127.0.0.1:{port}\n"
    assert "there is no password" in words
    assert dockerfiles.health(steps, root, port) == 1
    # Only compiled networks are written.
    assert sorted((root / "opt").rglob("*")) == installed
    assert [path.name for path in (root / "tmp").iterdir()] == ["cache"]
