"""Who may ask: this machine is not a web site, and pages of web sites shall not use it through a browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
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


class Guard:
    """Refuses what another site's page could send, and sets the headers that bind our own page.

    A site may let its own name point to this machine, and its page then counts as the same origin (DNS
    rebinding). It cannot do so with an address: so a request must have come for an IP address or for a name
    that is known. Starlette's TrustedHostMiddleware knows names only, of which ``--host 0.0.0.0`` has many.

    Args:
        names: of this machine, beside its addresses.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        app = self._app
        if not self._known(headers.get("host", "")):
            error = "this is not the name of this server: open it by the address that arcage app printed"
            app = JSONResponse({"error": error}, 421)
        elif scope["method"] not in ("GET", "HEAD") and _from_elsewhere(headers):
            app = JSONResponse({"error": "another site's page may not ask here"}, 403)
        await app(scope, receive, send_guarded)

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True


def _from_elsewhere(headers: Headers) -> bool:
    # Programs that are no browser send neither.
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")
