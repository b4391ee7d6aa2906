"""Refuse requests that pages of other web sites send through the browser of a user."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]*))?", re.IGNORECASE)
_PORTS = {"http": "80", "https": "443"}
_DISCARDED_BYTES, _DISCARDING_SECONDS = 16 << 20, 2


class Guard:
    """Refuses requests from pages of other sites, and sets the security headers of the page.

    A site may let its own name point to this machine; the browser then treats its page as the same origin
    (DNS rebinding). This does not work with an IP address, so the Host header must contain an IP address or a
    known name. Starlette's TrustedHostMiddleware supports names only, and a server that listens on all
    addresses has many.

    A proxy may change the Host header, but not the Origin header, in which the browser names the requesting
    page. A page at an allowed name may therefore send requests on any port and with any Host header.
    Forwarding headers are ignored, because clients can set them.

    Args:
        names: names of this machine, besides its addresses. A page there must be on the port of the request.
        allowed: additional names and addresses, from :func:`host_name`.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], allowed: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.update(HEADERS)
                if message["status"] >= 400 and scope["method"] not in ("GET", "HEAD"):
                    sent["Connection"] = "close"  # the rest of the upload is not wanted
            await send(message)

        headers = Headers(scope=scope)
        app = self._app
        if error := self._wrong_host(headers):
            app = JSONResponse({"error": error}, 421)
        elif scope["method"] not in ("GET", "HEAD") and (error := self._from_elsewhere(headers)):
            app = JSONResponse({"error": error}, 403)
        if error:
            await _discard(headers, receive)
        await app(scope, receive, send_guarded)

    def _wrong_host(self, headers: Headers) -> str | None:
        name, _ = _split(headers.get("host", ""))
        if not name:
            return "the Host header is not a host name: open the address that arcage app printed"
        if _is_address(name) or name in self._names or self._is_allowed(name):
            return None
        return (
            f"{name} is not a known name of this server: open it by its IP address, or start it with "
            f"`arcage app --allow-host {name}`"
        )

    def _from_elsewhere(self, headers: Headers) -> str | None:
        # Only browsers send these headers.
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "a page of another site may not send anything here"
        origin = headers.get("origin")
        if origin is None:
            return None
        scheme, _, host = origin.partition("://")
        name, port = _split(host)
        if not name:
            return f"a page without an address of its own may not send anything here (Origin: {origin[:100]})"
        asked, asked_port = _split(headers.get("host", ""))
        default = _PORTS.get(scheme.lower(), "")
        if (name, port or default) == (asked, asked_port or default) or self._is_allowed(name):
            return None
        return (
            f"a page at {origin} may not send anything to {headers['host']}; if a proxy serves arcage at "
            f"{name}, start it with `arcage app --allow-host {name}`"
        )

    def _is_allowed(self, name: str) -> bool:
        parents = (f"*{name[at:]}" for at, letter in enumerate(name) if letter == ".")
        return name in self._allowed or not self._allowed.isdisjoint(parents)


async def _discard(headers: Headers, receive: Receive) -> None:
    """Receive the body of a refused request, up to a limit.

    Otherwise the connection closes while the body is still arriving, and a proxy answers 502 instead of
    passing on the refusal.
    """
    # A client that waits for "100 Continue" has not sent anything yet.
    if "expect" in headers or int(headers.get("content-length", 0)) > _DISCARDED_BYTES:
        return
    size = 0
    with suppress(TimeoutError, asyncio.CancelledError):  # cancelled at the end of the server
        async with asyncio.timeout(_DISCARDING_SECONDS):
            while size < _DISCARDED_BYTES:
                message = await receive()
                if not message.get("more_body"):
                    return
                size += len(message.get("body", b""))


def host_name(text: str) -> str:
    """Normalise a name or address for :class:`Guard`; ``*.example.org`` allows all subdomains of
    example.org.

    Raises:
        ValueError: the text is not a host name; the message says why.
    """
    wildcard = text.startswith("*.")
    try:
        name = text.removeprefix("*.").encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if ":" in name and _is_address(name):
        name = f"[{name}]"
    name, port = _split(name)
    if name and port is None:
        if not wildcard:
            return name
        if "." in name and not _is_address(name):
            return f"*.{name}"
    if wildcard or text == "*":  # *.com would allow every site of com
        raise ValueError("is too wide: name the host, or the subdomains of a domain as in *.example.org")
    try:
        host = urlsplit(text).hostname or urlsplit(f"//{text}").hostname
    except ValueError:
        host = None
    if host and host != text.lower() and _split(host)[0]:
        raise ValueError(f"is more than a host name: give {host}")
    raise ValueError("is not a host name, such as nas.local or faces.example.org")


def _split(host: str) -> tuple[str, str | None]:
    """Split a Host header into a normalised name and a port; the name is empty if it is invalid."""
    match = _HOST.fullmatch(host)
    if match is None:
        return "", None
    name = match[1].strip("[]").lower().removesuffix(".")
    try:
        name = str(ipaddress.ip_address(name))
    except ValueError:
        if match[1].startswith("["):
            return "", None
    return name, match[2]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
