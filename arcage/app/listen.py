"""Open the listening socket of the server."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from arcage.errors import ArcageError, UsageError


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: an IP address, or a name of this machine.
        port: 0 for any free port.

    Raises:
        UsageError: ``host`` is not an address of this machine.
        ArcageError: the port cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"`host` {host} is not an address of this machine: {error}") from None
    try:
        # Not dual-stack: "::1" means only this address.
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        # Python appends the address to strerror.
        why = os.strerror(error.errno) if error.errno else str(error)
        advice = {
            errno.EADDRINUSE: "if arcage app is running already, open its page, or use another `port`",
            errno.EACCES: "choose a port of 1024 or above with `port`",
            errno.EADDRNOTAVAIL: "choose an address of this machine with `host`",
        }.get(error.errno or 0, "choose another `host` or `port`")
        raise ArcageError(f"cannot listen on {host}, port {port}: {why}; {advice}") from None


def address_of(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a listening socket."""
    return ipaddress.ip_address(listener.getsockname()[0])


def url_of(listener: socket.socket) -> str:
    """Return the URL under which this machine reaches a listening socket."""
    address, port = address_of(listener), listener.getsockname()[1]
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}"
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"
