"""Run the server until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from arcage.app.listen import address_of, listen, url_of
from arcage.errors import ArcageError, UsageError
from arcage.predictor import Predictor
from arcage.process.interrupt import forget_signal

if TYPE_CHECKING:
    from starlette.applications import Starlette

_CONNECTIONS = 200
"""Maximum number of connections; more are refused before anything of them is read."""


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
        _run(make_app(predictor, names, allowed), listener)


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


def _run(app: Starlette, listener: socket.socket) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
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
    _keep_ignored_signals(server)
    with suppress(KeyboardInterrupt):  # the normal end
        server.run([listener])
    forget_signal()


def _keep_ignored_signals(server: Any) -> None:
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
    """Return whether this is an error, and not a request cancelled by the shutdown of the server."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "graceful shutdown" not in record.getMessage()
