"""The command `arcage app`."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from fakes import face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server  # noqa: E402


def test_the_command(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("app", "--port", 0)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)", url)[1])  # type: ignore[index]
        assert Server(port).predict(image(face(33))).rows[0]["age"] == 33
        taken = start("app", "--port", port)
        _, words = taken.communicate(timeout=30)
        assert taken.returncode == 3
        assert words.startswith(f"arcage: cannot listen on 127.0.0.1, port {port}: Address already in use")
        assert "--port" in words
    finally:
        process.send_signal(signal.SIGINT)
        out, words = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert words == "open this address in a browser; Ctrl-C ends it\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_hanging_request_does_not_delay_the_shutdown(
    start: Callable[..., subprocess.Popen[str]], name: str
) -> None:
    process = start("app", "--port", 0)
    assert process.stdout is not None
    assert process.stderr is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    process.stderr.readline()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        assert Server(port)("/api").status == 200
        started = time.monotonic()
        process.send_signal(getattr(signal, name))
        out, words = process.communicate(timeout=30)
    assert time.monotonic() - started < 4  # one second for the request, and time to end on a busy machine
    assert (out, words) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("names", [["SIGINT"], ["SIGHUP"], ["SIGTERM", "SIGINT"], ["SIGTERM", "SIGTERM"]])
def test_a_photo_in_progress_does_not_delay_the_shutdown(
    start: Callable[..., subprocess.Popen[str]], names: list[str]
) -> None:
    process = start("app", "--port", 0, FAKE_DELAY=1)  # also for the photo that loads the networks
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(Server(port).predict, image(face(33))) for _ in range(40)]
        time.sleep(0.3)
        started = time.monotonic()
        for name in names:
            process.send_signal(getattr(signal, name))
            time.sleep(0.2)
        out, words = process.communicate(timeout=30)
        assert time.monotonic() - started < 3
        assert (out, words) == ("", "open this address in a browser; Ctrl-C ends it\n")
        assert process.returncode == 0
        assert sum(answer.exception() is None and answer.result().status == 200 for answer in answers) < 20


def test_sigterm_answers_what_is_in_progress_and_refuses_the_rest(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start("app", "--port", 0, FAKE_DELAY=0.8)
    assert process.stdout is not None
    server = Server(int(process.stdout.readline().rpartition(":")[2]))
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(server.predict, image(face(20 + i))) for i in range(5)]
        time.sleep(0.4)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert 503 in _until_healthy(server, 503)  # Uvicorn looks ten times a second
        health = server("/healthz")
        assert (health.status, health.headers["retry-after"]) == (503, "10")
        refused = server.predict(image(face()))
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        assert refused.error == "the server is stopping: send it again to another one, or later"
        assert [answer.result().rows[0]["age"] for answer in answers] == [20, 21, 22, 23, 24]
        out, words = process.communicate(timeout=30)
    assert time.monotonic() - started < 6
    assert (out, words) == ("", "open this address in a browser; Ctrl-C ends it\n")
    assert process.returncode == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _until_healthy(server: Server, status: int) -> set[int]:
    """Wait for a status of ``/healthz``, and return all that were seen."""
    seen: set[int] = set()
    end = time.monotonic() + 30
    while time.monotonic() < end and status not in seen:
        with suppress(ConnectionRefusedError):
            seen.add(server("/healthz").status)
        time.sleep(0.05)
    return seen


def test_health_while_the_networks_are_loaded(start: Callable[..., subprocess.Popen[str]]) -> None:
    port = _free_port()
    process = start("app", "--port", port, FAKE_DELAY=2)
    server = Server(port)
    try:
        assert _until_healthy(server, 503) == {503}
        early = server.predict(image(face()))
        assert (early.status, early.headers["retry-after"]) == (503, "2")
        assert early.error == "the networks are being loaded: try again"
        assert _until_healthy(server, 200) <= {503, 200}
        assert server("/healthz").json == {"status": "ok"}
        assert server.predict(image(face(33))).rows[0]["age"] == 33
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_it_can_be_stopped_while_the_networks_are_loaded(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    port = _free_port()
    process = start("app", "--port", port, FAKE_DELAY=20)
    assert _until_healthy(Server(port), 503) == {503}
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, words = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert (out, words, process.returncode) == ("", "", 0)


def test_nothing_of_a_request_is_logged(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("app", "--port", 0)
    assert process.stdout is not None
    server = Server(int(process.stdout.readline().rpartition(":")[2]))
    assert server("/api/predict?name=secret.jpg", image(face())).status == 200
    assert server("/api/predict?name=secret.jpg", b"secret").status == 200
    assert server("/secret", b"secret", Host="secret.example").status == 421
    assert server("/api/batch", b"secret").status == 400
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "open this address in a browser; Ctrl-C ends it\n")


def test_access_from_other_machines_prints_a_warning(start: Callable[..., subprocess.Popen[str]]) -> None:
    names = ("--allow-host", "nas.fritz.box", "--allow-host", "faces.example.org")
    process = start("app", "--host", "0.0.0.0", "--port", 0, *names)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        server = Server(int(url.rpartition(":")[2]))
        assert server("/api", Host=socket.gethostname()).status == 200
        assert server("/api", Host="evil.example").status == 421
        assert server("/api", Host="nas.fritz.box").status == 200
        origin = {"Host": "127.0.0.1:7860", "Origin": "https://faces.example.org"}
        assert server.predict(image(face(33)), **origin).rows[0]["age"] == 33
    finally:
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=30)
    assert "there is no password" in words
    assert f"or as {socket.gethostname()}; --allow-host NAME adds another name\n" in words


def test_errors_are_reported_before_the_page_opens(arcage: Callable[..., Any]) -> None:
    assert arcage("app", "--port", 0, "--device", "cuda").exit_code == 3
    assert arcage("app", "--port", 0, "--heads", "nowhere").exit_code == 2


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_the_extra_is_missing(
    arcage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    modules = ("arcage.app.server", "arcage.app.service")
    for name in [name for name in sys.modules if name.startswith(modules)]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    done = arcage("app", "--port", 0)
    assert done.exit_code == 3
    assert "pip install 'arcage[app]'" in done.stderr
    assert done.stdout == ""


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv[1:] = ['app', '--help']\nfrom arcage.cli import main\ntry:\n    main()\n"
        "finally:\n    print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--host" in done.stdout
    assert not {"numpy", "cv2", "openvino", "starlette", "uvicorn", "anyio"} & set(done.stderr.split())
