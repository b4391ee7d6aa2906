"""Run the server until a signal."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from arcage.app.limits import Limits
from arcage.app.listen import address_of, listen, url_of
from arcage.errors import ArcageError, UsageError
from arcage.predictor import Predictor
from arcage.process.cell import close_cells


def serve(
    predictor: Predictor,
    host: str,
    port: int,
    *,
    allow_host: Iterable[str] = (),
    report: Callable[[str], object],
) -> None:
    """Load the networks, print the URL of the page on standard output, and serve requests until Ctrl-C
    or another signal.

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
        from arcage.app.readiness import Readiness
        from arcage.app.server import make_app
        from arcage.app.service import Service
    except ImportError as error:
        raise ArcageError(
            f"the page needs starlette and uvicorn ({error}): pip install 'arcage[app]'"
        ) from error
    from arcage.app.predictions import warm_up
    from arcage.output.formats import print_stdout

    allowed = _host_names(allow_host)
    with listen(host, port) as listener:
        names = {"localhost", host}
        url = url_of(listener)
        shared = not address_of(listener).is_loopback
        if shared:
            names |= {socket.gethostname(), f"{socket.gethostname()}.local"}

        def announce() -> None:
            if predictor.note:
                report(predictor.note)
            if shared:
                _warn(host, report)
            print_stdout(url)
            report("open this address in a browser; Ctrl-C ends it")

        limits = Limits(connections=_connections())
        readiness = Readiness()
        app = make_app(predictor, names, allowed, limits, readiness)
        service = Service(app, limits, readiness, partial(warm_up, predictor), announce)
        with suppress(KeyboardInterrupt):  # the normal end
            service.run([listener])
    close_cells()
    # The signal is not forgotten, so that the command ends without waiting for photos in progress.
    if service.error is not None:
        raise service.error
    if service.unfinished:
        report(
            f"requests without an answer: {service.unfinished}, after waiting {limits.stop_seconds:g} seconds"
        )


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


def _connections() -> int:
    """Return the number of connections for which this process may have enough files open."""
    most = Limits().connections
    try:
        import resource
    except ImportError:  # Windows
        return most
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else max(8, min(most, files // 4))
