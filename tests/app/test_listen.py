"""The listening socket."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")


@pytest.mark.parametrize("host", ["not-a-name.invalid", "1.2.3.4.5", "a" * 300])
def test_an_invalid_host(arcage: Callable[..., Any], host: str) -> None:
    done = arcage("app", "--host", host, "--port", 0)
    assert done.exit_code == 2
    assert f"--host {host} is not an address of this machine" in done.stderr


def test_an_address_of_another_machine(arcage: Callable[..., Any]) -> None:
    done = arcage("app", "--host", "192.0.2.1", "--port", 0)
    assert done.exit_code == 3
    assert done.stderr == (
        "arcage: cannot listen on 192.0.2.1, port 0: Cannot assign requested address; choose an address of "
        "this machine with --host\n"
    )


def test_a_port_that_needs_privileges(arcage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    done = arcage("app", "--port", 80)
    assert done.exit_code == 3
    assert done.stderr == (
        "arcage: cannot listen on 127.0.0.1, port 80: Permission denied; choose a port of 1024 or above with "
        "--port\n"
    )
