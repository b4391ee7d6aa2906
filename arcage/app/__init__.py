"""arcage as a page in the browser, with the HTTP endpoint that the page itself uses (``docs/guide/app.md``).

Starlette and Uvicorn, and one static page without a build step: nothing is loaded from elsewhere, and
nobody is told that it runs.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from arcage.errors import ArcageError, UsageError
from arcage.predictor import Predictor
from arcage.process.interrupt import forget_signal

_CONNECTIONS = 200
"""More at once are turned away before anything of them is read."""


def serve(
    predictor: Predictor,
    host: str,
    port: int,
    *,
    allowed: Iterable[str] = (),
    said: Callable[[str], object],
) -> None:
    """Answer requests until Ctrl-C.

    Prints the page's address on standard output as soon as it can be opened; the networks are loaded then.

    Args:
        host: the address to listen on: an IP address, or a name of this machine.
        port: 0 for any that is free.
        allowed: host names and addresses under which the page may be opened, besides those of this machine:
            a name in the local network, or the public name of a proxy. ``*.example.org`` allows subdomains.
        said: is given what the user should know, a line each.

    Raises:
        ArcageError: Starlette or Uvicorn is missing, or the address cannot be had.
        DeviceError, ModelError: the networks cannot be loaded.
        UsageError: ``host`` is not an address of this machine, or an entry of ``allowed`` is not a host name.
    """
    try:
        import uvicorn

        from arcage.app.guard import host_name
        from arcage.app.server import make_app
    except ImportError as error:
        raise ArcageError(
            f"the page needs starlette and uvicorn ({error}): pip install 'arcage[app]'"
        ) from error
    from arcage.app.answers import warm_up
    from arcage.output.formats import print_stdout

    further = []
    for name in allowed:
        try:
            further.append(host_name(name))
        except ValueError as error:
            raise UsageError(f"--allow-host {name} {error}") from None
    with _listen(host, port) as listener:
        # Now, and not with the first photo: a device that cannot be had is found before anyone waits.
        warm_up(predictor)
        if predictor.note:
            said(predictor.note)
        address = ipaddress.ip_address(listener.getsockname()[0])
        if not address.is_loopback:
            said(
                f"warning: with --host {host} everyone who can reach this machine can use arcage: "
                "there is no password, and photos travel unencrypted"
            )
            said(
                f"from another machine, open it by this machine's IP address or as {socket.gethostname()}; "
                "--allow-host NAME adds another name"
            )
        shown = "127.0.0.1" if address.is_unspecified else f"[{address}]" if address.version == 6 else address
        print_stdout(f"http://{shown}:{listener.getsockname()[1]}")
        said("open this address in a browser; Ctrl-C ends it")
        names = {"localhost", host}
        if not address.is_loopback:
            names |= {socket.gethostname(), f"{socket.gethostname()}.local"}
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(predictor, names, further),
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                ws="none",
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_is_error)
        _leave_ignored(server)
        with suppress(KeyboardInterrupt):  # the way to end it
            server.run([listener])
        forget_signal()


def _leave_ignored(server: Any) -> None:
    """Keep Uvicorn from handling ignored signals, such as SIGINT in a background job of a shell script."""
    signals = (signal.SIGINT, signal.SIGTERM)
    ignored = [number for number in signals if signal.getsignal(number) == signal.SIG_IGN]
    capture = server.capture_signals

    @contextmanager
    def capture_others() -> Iterator[None]:
        with capture():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            yield

    if threading.current_thread() is threading.main_thread():
        server.capture_signals = capture_others


def _is_error(record: logging.LogRecord) -> bool:
    """Whether this is an error, and not a request cancelled by the shutdown of the server."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "graceful shutdown" not in record.getMessage()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host} is not an address of this machine: {error}") from None
    try:
        # Not dual-stack: "::1" shall be what it says.
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        # Python appends the address to strerror.
        why = os.strerror(error.errno) if error.errno else str(error)
        advice = {
            errno.EADDRINUSE: "if arcage app is running already, open its page, or use another --port",
            errno.EACCES: "choose a port of 1024 or above with --port",
            errno.EADDRNOTAVAIL: "choose an address of this machine with --host",
        }.get(error.errno or 0, "choose another --host or --port")
        raise ArcageError(f"cannot listen on {host}, port {port}: {why}; {advice}") from None
