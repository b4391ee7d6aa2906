"""Which hosts and pages may send requests."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from fakes import face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server  # noqa: E402

REFUSED_HOSTS = {
    "evil.example": "evil.example",
    "Evil.Example.:7860": "evil.example",
    "localhost.evil.example": "localhost.evil.example",
    "127.0.0.1.evil.example": "127.0.0.1.evil.example",
    "nas.evil.example": "nas.evil.example",
    "2130706433": "2130706433",
}


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_unknown_host_names_are_refused(server: Server, host: str) -> None:
    for path in ("/", "/api"):
        answer = server(path, Host=host)
        assert answer.status == 421
        assert answer.error == (
            f"{REFUSED_HOSTS[host]} is not a known name of this server: open it by its IP address, or start "
            f"it with `arcage app --allow-host {REFUSED_HOSTS[host]}`"
        )


@pytest.mark.parametrize(
    "host",
    ["", "[::1", "@", "x@localhost", "localhost/", "localhost:7860:1", "[localhost]", "a b", "localhost.."],
)
def test_a_host_header_without_a_name(server: Server, host: str) -> None:
    answer = server("/", Host=host)
    assert answer.status == 421
    if host != "localhost..":
        assert answer.error == "the Host header is not a host name: open the address that arcage app printed"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:1", "localhost.", "localhost.:7860", "localhost:", "nas", "NAS:7860"),
        *("127.0.0.1:99", "127.0.0.1.", "192.168.1.7", "[::1]", "[::1]:7860", "[0:0:0:0:0:0:0:1]:7860"),
    ],
)
def test_known_names_and_addresses_are_accepted(server: Server, host: str) -> None:
    assert server("/api", Host=host).status == 200


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1"}, 200),
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1:80", "Sec_Fetch_Site": "same-origin"}, 200),
        ("127.0.0.1:443", {"Origin": "https://127.0.0.1"}, 200),
        ("LOCALHOST:7860", {"Origin": "http://localhost:7860"}, 200),
        ("[::1]:7860", {"Origin": "http://[::1]:7860"}, 200),
        # Another server on this machine.
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1:81"}, 403),
        ("127.0.0.1", {"Origin": "http://127.0.0.1:7860"}, 403),
        ("127.0.0.1:7860", {"Origin": "http://localhost:7860"}, 403),
        ("localhost:7860", {"Origin": "http://localhost:8888"}, 403),
        ("nas:7860", {"Origin": "http://nas:8080"}, 403),
        ("127.0.0.1:80", {"Origin": "http://evil.example"}, 403),
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1@evil.example"}, 403),
        ("127.0.0.1:80", {"Origin": "null"}, 403),
        ("127.0.0.1:80", {"Origin": ""}, 403),
        ("127.0.0.1:80", {"Origin": "file://"}, 403),
        ("127.0.0.1:80", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("127.0.0.1:80", {"Sec_Fetch_Site": "same-site"}, 403),
        # Forwarding headers of a client are ignored.
        ("127.0.0.1", {"Origin": "http://evil.example", "X_Forwarded_Host": "evil.example"}, 403),
        ("evil.example", {"Origin": "http://evil.example", "X_Forwarded_Host": "127.0.0.1"}, 421),
        ("evil.example", {"Origin": "http://127.0.0.1", "Forwarded": "host=127.0.0.1"}, 421),
    ],
)
def test_requests_from_pages_of_other_sites_are_refused(
    server: Server, host: str, headers: dict[str, str], status: int
) -> None:
    assert server.predict(image(face()), Host=host, **headers).status == status


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        # By a name in the network.
        ("nas.fritz.box:7860", {}, 200),
        ("NAS.fritz.box.:7860", {"Origin": "http://nas.fritz.box:7860"}, 200),
        # Behind a proxy that passes its name on, changes it, or passes another port on.
        ("faces.example.org", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "same-origin"}, 200),
        ("127.0.0.1:7860", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "same-origin"}, 200),
        ("localhost:7860", {"Origin": "https://Faces.Example.org:8443"}, 200),
        ("faces.example.org:80", {"Origin": "https://faces.example.org:8443"}, 200),
        (
            "arcage:7860",
            {"Origin": "https://faces.example.org", "X_Forwarded_Host": "faces.example.org"},
            200,
        ),
        ("127.0.0.1:7860", {"Origin": "https://192.168.1.7:8443"}, 200),
        ("127.0.0.1:7860", {"Origin": "https://[fd00:0::5]"}, 200),
        ("a.b.example.net", {"Origin": "https://c.example.net"}, 200),
        ("xn--mnchen-3ya.example", {}, 200),
        # Nothing else is allowed.
        ("example.org", {}, 421),
        ("evil.faces.example.org", {}, 421),
        ("faces.example.org.evil.example", {}, 421),
        ("evilexample.net", {}, 421),
        ("example.net", {}, 421),
        ("127.0.0.1:7860", {"Origin": "https://evil.example"}, 403),
        ("faces.example.org", {"Origin": "https://evil.example"}, 403),
        ("faces.example.org", {"Origin": "https://faces.example.org.evil.example"}, 403),
        ("faces.example.org", {"Origin": "https://example.net"}, 403),
        ("faces.example.org", {"Origin": "null"}, 403),
        ("127.0.0.1:7860", {"Origin": "https://192.168.1.8"}, 403),
        ("127.0.0.1:7860", {"Origin": "http://localhost:8888"}, 403),
        ("faces.example.org", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "cross-site"}, 403),
        ("faces.example.org", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_allowed_names(behind_a_proxy: Server, host: str, headers: dict[str, str], status: int) -> None:
    assert behind_a_proxy.predict(image(face()), Host=host, **headers).status == status


def test_a_refusal_names_the_option(server: Server) -> None:
    answer = server.predict(image(face()), Host="127.0.0.1:7860", Origin="https://faces.example.org:8443")
    assert answer.status == 403
    assert answer.error == (
        "a page at https://faces.example.org:8443 may not send anything to 127.0.0.1:7860; if a proxy serves "
        "arcage at faces.example.org, start it with `arcage app --allow-host faces.example.org`"
    )


def test_a_refused_body_is_received_so_that_a_proxy_passes_the_refusal_on(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(
            b"POST /api/predict HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n"
        )
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1000)
        connection.settimeout(10)
        connection.sendall(bytes(1000))
        assert connection.recv(1000).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("https://faces.example.org/", "is more than a host name: give faces.example.org"),
        ("faces.example.org:443", "is more than a host name: give faces.example.org"),
        ("faces.example.org/faces", "is more than a host name: give faces.example.org"),
        ("*", "is too wide"),
        ("*.com", "is too wide"),
        ("*.127.0.0.1", "is too wide"),
        ("", "is not a host name"),
        (".", "is not a host name"),
        ("a b", "is not a host name"),
        ("faces.*.org", "is not a host name"),
        ("*.*.org", "is too wide"),
    ],
)
def test_invalid_allowed_names(arcage: Callable[..., Any], name: str, words: str) -> None:
    done = arcage("app", "--port", 0, "--allow-host", "nas", "--allow-host", name)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"arcage: --allow-host {name} {words}")
    assert done.stdout == ""


def test_headers(server: Server) -> None:
    for path, kind in [("/", "text/html"), ("/page.js", "text/javascript"), ("/api", "application/json")]:
        answer = server(path)
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert not [name for name in answer.headers if name.startswith("access-control")]
