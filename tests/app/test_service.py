"""The server as a process: how it starts and how it stops."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fakes import FakeExtractor, face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Answer, Server  # noqa: E402

from arcage.app.limits import Limits  # noqa: E402
from arcage.app.readiness import Readiness  # noqa: E402
from arcage.app.server import make_app  # noqa: E402
from arcage.app.service import Service  # noqa: E402
from arcage.errors import DeviceError  # noqa: E402
from arcage.predictor import Predictor  # noqa: E402


@contextmanager
def started(limits: Limits, **arguments: Callable[[], object]) -> Iterator[tuple[Service, Server]]:
    readiness = Readiness(loaded=not arguments)
    app = make_app(Predictor(), {"localhost"}, limits=limits, readiness=readiness)
    service = Service(app, limits, readiness, **arguments)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1])
    thread = threading.Thread(target=service.run, args=([listener],))
    thread.start()
    try:
        yield service, server
    finally:
        service.should_exit = True
        thread.join()
        listener.close()


def ask(server: Server, photo: bytes, answers: list[Answer | OSError]) -> threading.Thread:
    def predict() -> None:
        try:
            answers.append(server.predict(photo))
        except OSError as error:
            answers.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    return thread


def test_requests_in_progress_have_a_limit_of_time(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Answer | OSError] = []
    with started(Limits(stop_seconds=0.5)) as (service, server):
        assert server("/healthz").json == {"status": "ok"}
        monkeypatch.setattr(FakeExtractor, "delay", 4)
        thread = ask(server, image(face()), answers)
        hangs = socket.create_connection(("127.0.0.1", server.port))
        hangs.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        time.sleep(0.3)
        since = time.monotonic()
        service.handle_exit(signal.SIGTERM, None)
        thread.join()
        assert time.monotonic() - since < 3  # and one second for what is cancelled
        hangs.close()
    assert service.unfinished == 2
    (answer,) = answers
    assert isinstance(answer, Answer)
    assert answer.status == 503
    assert answer.error == "the server is stopping: send it again to another one, or later"


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_other_signals_do_not_wait(fake: None, name: str) -> None:
    with started(Limits(stop_seconds=20)) as (service, server):
        with socket.create_connection(("127.0.0.1", server.port)) as hangs:
            hangs.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
            time.sleep(0.2)
            since = time.monotonic()
            service.handle_exit(getattr(signal, name), None)
            assert hangs.recv(100).startswith(b"HTTP/1.1 503 ")
        assert time.monotonic() - since < 3
    assert service.unfinished == 0


def test_a_refused_upload_gets_its_answer_at_the_end(fake: None) -> None:
    head = b"POST /api/predict HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100\r\n\r\nabc"
    with (
        started(Limits()) as (service, server),
        socket.create_connection(("127.0.0.1", server.port)) as hangs,
    ):
        hangs.sendall(head)
        time.sleep(0.2)
        service.handle_exit(signal.SIGINT, None)
        assert hangs.recv(100).startswith(b"HTTP/1.1 421 ")


def test_the_networks_are_loaded_while_it_listens(fake: None) -> None:
    gate = threading.Event()
    announced: list[int] = []

    def announce() -> None:
        announced.append(1)

    with started(Limits(), load=gate.wait, announce=announce) as (_, server):
        assert server("/healthz").status == 503
        assert server("/api").status == 200
        assert server("/openapi.json").status == 200
        assert server.predict(image(face())).headers["retry-after"] == "2"
        assert not announced
        gate.set()
        end = time.monotonic() + 10
        while not announced and time.monotonic() < end:
            time.sleep(0.01)
        assert server("/healthz").status == 200
        assert server.predict(image(face(33))).rows[0]["age"] == 33


@pytest.mark.parametrize("step", ["load", "announce"])
def test_what_prevents_the_start_ends_the_server(fake: None, step: str) -> None:
    def fail() -> None:
        raise DeviceError("there is no such device")

    steps: dict[str, Callable[[], object]] = {"load": lambda: None, step: fail}
    with started(Limits(), **steps) as (service, _):
        end = time.monotonic() + 10
        while not service.should_exit and time.monotonic() < end:
            time.sleep(0.01)
    assert isinstance(service.error, DeviceError)
