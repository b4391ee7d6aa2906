"""Run the server until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from arcage.app.limits import Limits
from arcage.app.listen import address_of, listen, url_of
from arcage.errors import ArcageError, UsageError
from arcage.predictor import Predictor
from arcage.process.cell import close_cells

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette


def serve(
    predictor: Predictor,
    host: str,
    port: int,
    *,
    allow_host: Iterable[str] = (),
    report: Callable[[str], object],
) -> None:
    """Load the networks, print the URL of the page on standard output, and serve requests until Ctrl-C.

    Args:
        predictor: called from several threads at once.
        host: the address to listen on: an IP address, or a name of this machine.
        port: 0 for any free port.
        allow_host: host names and addresses under which the page may be opened, in addition to those of this
            machine: a name in the local network, or the public name of a proxy. ``*.example.org`` allows
            subdomains.
        report: called with each message for the user.

    Raises:
        ArcageError: Starlette or Uvicorn is missing, or the address cannot be used.
        DeviceError, ModelError: the networks cannot be loaded.
        UsageError: ``host`` is not an address of this machine, or an entry of ``allow_host`` is not a host
            name.
    """
    try:
        import uvicorn  # noqa: F401

        from arcage.app.server import make_app
    except ImportError as error:
        raise ArcageError(
            f"the page needs starlette and uvicorn ({error}): pip install 'arcage[app]'"
        ) from error
    from arcage.app.predictions import warm_up
    from arcage.output.formats import print_stdout

    allowed = _host_names(allow_host)
    with listen(host, port) as listener:
        # Before the first photo, so that an unavailable device is reported at once.
        warm_up(predictor)
        if predictor.note:
            report(predictor.note)
        names = {"localhost", host}
        if not address_of(listener).is_loopback:
            _warn(host, report)
            names |= {socket.gethostname(), f"{socket.gethostname()}.local"}
        print_stdout(url_of(listener))
        report("open this address in a browser; Ctrl-C ends it")
        limits = Limits(connections=_connections())
        _run(make_server(make_app(predictor, names, allowed, limits), limits), listener)


def _host_names(allow_host: Iterable[str]) -> list[str]:
    from arcage.app.guard import host_name

    names = []
    for name in allow_host:
        try:
            names.append(host_name(name))
        except ValueError as error:
            raise UsageError(f"`allow_host` {name} {error}") from None
    return names


def _warn(host: str, report: Callable[[str], object]) -> None:
    report(
        f"warning: with `host` {host}, everyone who can reach this machine can use arcage: there is no "
        "password, and photos travel unencrypted"
    )
    report(
        f"from another machine, open it by this machine's IP address or as {socket.gethostname()}; "
        "`allow_host` NAME adds another name"
    )


def make_server(app: Starlette, limits: Limits) -> uvicorn.Server:
    """Return the server of the application, with limits for its connections."""
    import uvicorn

    from arcage.app.connections import Connection, Connections

    config = uvicorn.Config(
        app,
        http=partial(Connection, connections=Connections(limits)),  # type: ignore[arg-type]
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        backlog=max(8, limits.connections // 4),  # accepted at once, before others are closed
        timeout_graceful_shutdown=1,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_error)
    return uvicorn.Server(config)


def _connections() -> int:
    """Return the number of connections for which this process may have enough files open."""
    most = Limits().connections
    try:
        import resource
    except ImportError:  # Windows
        return most
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else max(8, min(most, files // 4))


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    _handle_signals(server)
    with suppress(KeyboardInterrupt):  # the normal end
        server.run([listener])
    close_cells()
    # The signal is not forgotten, so that the command ends without waiting for photos in progress.


def _handle_signals(server: Any) -> None:
    """Let SIGHUP end the server as SIGINT and SIGTERM do, and keep Uvicorn from handling ignored signals,
    such as SIGINT in a background job of a shell script."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    capture = server.capture_signals

    @contextmanager
    def capture_others() -> Iterator[None]:
        with capture():
            for number, handler in before.items():
                signal.signal(number, handler if handler == signal.SIG_IGN else server.handle_exit)
            try:
                yield
            finally:  # Uvicorn raises a signal that it handled again
                for number, handler in before.items():
                    signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        server.capture_signals = capture_others


def _is_error(record: logging.LogRecord) -> bool:
    """Return whether this is an error, and not a request that was ended by a limit or by the shutdown."""
    error = record.exc_info[1] if record.exc_info else None
    message = record.getMessage()
    expected = "graceful shutdown" in message or "without completing response" in message
    return not isinstance(error, asyncio.CancelledError) and not expected
