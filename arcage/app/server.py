"""The page and its HTTP endpoints as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from arcage.app.api import Api
from arcage.app.batch import Batch
from arcage.app.guard import Guard
from arcage.app.limits import Limits
from arcage.app.openapi import openapi
from arcage.app.readiness import Gate, Readiness
from arcage.errors import ArcageError
from arcage.predictor import Predictor

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def make_app(
    predictor: Predictor,
    names: Iterable[str] = (),
    allowed: Iterable[str] = (),
    limits: Limits | None = None,
    readiness: Readiness | None = None,
) -> Starlette:
    """Return the ASGI application.

    Args:
        predictor: called from several threads at once.
        names: names of this machine, in addition to its IP addresses.
        allowed: additional names, whose pages may use a proxy; see :class:`arcage.app.guard.Guard`.
        limits: None for the defaults.
        readiness: of the server; None if the networks are loaded.
    """
    limits = limits or Limits()
    readiness = readiness or Readiness(loaded=True)
    api = Api(predictor, limits)
    app = Starlette(
        routes=[
            *(Route(path, _file(name, kind)) for path, (name, kind) in _FILES.items()),
            Route("/healthz", readiness.healthz),
            Route("/openapi.json", _described(openapi(limits))),
            Route("/api", api.about),
            Route("/api/predict", api.predict, methods=["POST"]),
            Route("/api/batch", Batch(api), methods=["POST"]),
        ],
        middleware=[
            Middleware(Guard, names=names, allowed=allowed),
            Middleware(Gate, readiness=readiness),
        ],
        exception_handlers={
            HTTPException: _refused,
            TimeoutError: _overloaded,
            ClientDisconnect: _disconnected,
            ArcageError: _failed,
            Exception: _crashed,
        },
    )
    app.router.redirect_slashes = False  # curl does not follow, and a proxy may have removed a path
    return app


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = Path(__file__).with_name(name).read_bytes()

    async def file(request: Request) -> Response:
        return Response(content, media_type=kind)

    return file


def _described(document: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    async def described(request: Request) -> Response:
        return JSONResponse(document)

    return described


def _error(status: int, error: str, **headers: str) -> Response:
    return JSONResponse({"error": error}, status, headers=headers or None)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text, headers = error.detail, error.headers or {}
    if error.status_code == 404:
        text = "there is nothing at this path: /openapi.json describes the endpoints"
    if error.status_code == 405:
        text = f"{request.method} does not work here: use {headers['Allow']}"
    return _error(error.status_code, text, **headers)


async def _overloaded(request: Request, error: Exception) -> Response:
    return _error(503, "the server is busy: try again", **{"Retry-After": "5"})


async def _disconnected(request: Request, error: Exception) -> Response:
    return _error(400, "the upload was interrupted")


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, str(error))


async def _crashed(request: Request, error: Exception) -> Response:
    return _error(500, "internal error: see the terminal where arcage runs")
