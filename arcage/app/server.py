"""The page and its HTTP endpoint as an ASGI application."""

from __future__ import annotations

import asyncio
import io
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from arcage._version import __version__
from arcage.app.answers import AT_ONCE, Answer, Answers
from arcage.app.forms import FRAME, FormError, only_file
from arcage.app.guard import Guard, discard
from arcage.app.zips import Photo, ZipError, ZipTooLargeError, photos_in
from arcage.errors import ArcageError
from arcage.images.decode import MAX_PIXELS
from arcage.output.formats import write_text
from arcage.output.rows import COLUMNS, DECIMALS, row_without_face
from arcage.predictor import Predictor

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_NAME = 1000
"""Characters of a photo's name that are kept in its rows."""
_FORM = "multipart/form-data"
_ZIPS = ("application/zip", "application/x-zip-compressed")
_HOW = (
    "send the bytes of one photo as the body (curl --data-binary @photo.jpg) or in a form "
    "(curl -F file=@photo.jpg)"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for, and all of them together."""

    photo_bytes: int = 64 << 20
    zip_bytes: int = 256 << 20
    zip_photos: int = 1000
    unpacked_bytes: int = 1 << 30
    """Of all photos in a zip."""
    upload_seconds: float = 120
    """For a request to arrive, from when it is its turn."""
    answer_seconds: float = 60
    """To wait for one's turn; and then for the answer to one photo."""
    zip_seconds: float = 1800
    """For the answers to all photos in a zip."""
    photos_at_once: int = 16
    """Requests of one photo whose bytes are in memory; others wait before they are read."""


def make_app(
    predictor: Predictor,
    names: Iterable[str] = (),
    allowed: Iterable[str] = (),
    limits: Limits | None = None,
) -> Starlette:
    """The ASGI application.

    Args:
        predictor: is called from several threads at once.
        names: by which this machine may be asked, beside its IP addresses.
        allowed: additional names, whose pages may use a proxy; see :class:`arcage.app.guard.Guard`.
        limits: the defaults for None.
    """
    api = _Api(predictor, limits or Limits())
    return Starlette(
        routes=[
            *(Route(path, _file(name, kind)) for path, (name, kind) in _FILES.items()),
            Route("/api", api.about),
            Route("/api/predict", api.predict, methods=["POST"]),
            Route("/api/batch", _Batch(api), methods=["POST"]),
        ],
        middleware=[Middleware(Guard, names=names, allowed=allowed)],
        exception_handlers={
            HTTPException: _refused,
            TimeoutError: _too_slow,
            ClientDisconnect: _gone,
            ArcageError: _failed,
            Exception: _broken,
        },
    )


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = Path(__file__).with_name(name).read_bytes()

    async def file(request: Request) -> Response:
        return Response(content, media_type=kind)

    return file


class _Api:
    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.limits = limits
        self.answers = Answers(predictor, limits.answer_seconds)
        self.photos = asyncio.Semaphore(limits.photos_at_once)
        self.zips = asyncio.Semaphore(1)

    async def about(self, request: Request) -> Response:
        limits = {"pixels": MAX_PIXELS, **asdict(self.limits)}
        return JSONResponse(
            {"arcage": __version__, "columns": COLUMNS, "decimals": DECIMALS, "limits": limits}
        )

    async def predict(self, request: Request) -> Response:
        picture = _wants_pictures(request)
        async with self.turn(self.photos):
            name, data = await self.file(request, self.limits.photo_bytes)
            _check_photo(_kind(request), data)
            name = (request.query_params.get("name") or name or "-")[:_NAME]
            answer = await self.answers.answer(name, lambda: data, picture=picture)
        return JSONResponse({"rows": answer.records()})

    @asynccontextmanager
    async def turn(self, places: asyncio.Semaphore) -> AsyncGenerator[None]:
        """Wait for a place before anything of the body is read, so that memory does not grow with those
        who wait."""
        async with asyncio.timeout(self.limits.answer_seconds):
            await places.acquire()
        try:
            yield
        finally:
            places.release()

    async def file(self, request: Request, limit: int) -> tuple[str, bytes]:
        """Return the name and the content of the file, sent as the body or in a form; a body has no name."""
        is_form = _kind(request) == _FORM
        body = await self.body(request, limit, FRAME if is_form else 0)
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise HTTPException(415, f"the body is compressed ({encoding[:100]}): send it uncompressed")
        if not is_form:
            return "", body
        try:
            name, data = await asyncio.to_thread(only_file, body, request.headers["content-type"])
        except FormError as error:
            raise HTTPException(400, str(error)) from None
        if len(data) > limit:
            raise _too_large(limit)
        return name, data

    async def body(self, request: Request, limit: int, frame: int) -> bytes:
        if int(request.headers.get("content-length", 0)) > limit + frame:
            await discard(request.headers, request.receive)
            raise _too_large(limit)
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self.limits.upload_seconds):
                async for chunk in request.stream():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > limit + frame:
                        raise _too_large(limit)
        except TimeoutError:
            raise HTTPException(
                408, f"the upload took longer than {self.limits.upload_seconds:g} seconds: send less at once"
            ) from None
        return b"".join(chunks)


class _Batch:
    """A zip of photos to rows, which are sent as they come.

    An ASGI application and not a function of a request: it keeps its turn until the last row is sent, or
    until nobody listens any more.
    """

    def __init__(self, api: _Api) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        limits = self._api.limits
        as_csv = "text/csv" in request.headers.get("accept", "")
        async with self._api.turn(self._api.zips):
            _, data = await self._api.file(request, limits.zip_bytes)
            try:
                photos = await self._api.answers.run(self._photos, data)
            except ZipError as error:
                raise HTTPException(413 if isinstance(error, ZipTooLargeError) else 400, str(error)) from None
            answers = self._answers(photos, picture=_wants_pictures(request) and not as_csv)
            async with aclosing(answers), aclosing((_csv if as_csv else _jsonl)(answers)) as lines:
                kind = "text/csv" if as_csv else "application/x-ndjson"
                await StreamingResponse(lines, media_type=kind)(scope, receive, send)

    def _photos(self, data: bytes) -> list[Photo]:
        limits = self._api.limits
        return photos_in(
            data, most=limits.zip_photos, bytes_each=limits.photo_bytes, bytes_all=limits.unpacked_bytes
        )

    async def _answers(self, photos: list[Photo], *, picture: bool) -> AsyncGenerator[Answer]:
        """The answers in the order of the photos. A photo that gets none is a row that says why, as the
        others are on their way already."""
        limits = self._api.limits
        end = asyncio.get_running_loop().time() + limits.zip_seconds

        async def answer(photo: Photo) -> Answer:
            if asyncio.get_running_loop().time() > end:
                why = f"not looked at: all {limits.zip_seconds:g} seconds for one zip were over"
                return Answer([row_without_face(photo.name, why)])
            try:
                return await self._api.answers.answer(photo.name, photo.read, picture=picture)
            except TimeoutError:
                why = f"no answer within {limits.answer_seconds:g} seconds"
                return Answer([row_without_face(photo.name, why)])

        ahead: deque[asyncio.Task[Answer]] = deque()
        try:
            for photo in photos:
                ahead.append(asyncio.create_task(answer(photo)))
                # One more than are worked on, so that no thread waits for the next.
                if len(ahead) > AT_ONCE:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()


async def _csv(answers: AsyncIterable[Answer]) -> AsyncGenerator[str]:
    text = io.StringIO()
    write = write_text(text, "csv")
    async for answer in answers:
        write(answer.rows)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


async def _jsonl(answers: AsyncIterable[Answer]) -> AsyncGenerator[str]:
    async for answer in answers:
        for row in answer.records():
            yield json.dumps(row, ensure_ascii=False) + "\n"


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_photo(kind: str, data: bytes) -> None:
    """Refuse a body that is not a file.

    The type is not enough: ``curl --data-binary`` declares every photo as a URL-encoded form.
    """
    if kind.startswith("image/") or kind in (_FORM, "application/octet-stream"):
        return
    if not data:
        raise HTTPException(400, f"the body is empty: {_HOW}")
    if kind in _ZIPS:
        raise HTTPException(415, "this is a zip: send it to /api/batch")
    if data.startswith(b"data:") or (kind and _is_text(data)):
        raise HTTPException(415, f"the body is text ({kind or 'a data URL'}), not a photo: {_HOW}")


def _is_text(data: bytes) -> bool:
    start = data[:1000]
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(start) - error.start > 3:  # more than a truncated last character
            return False
        text = start[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter.isspace() for letter in text)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"too large: the limit is {limit:,} bytes")


def _wants_pictures(request: Request) -> bool:
    return request.query_params.get("pictures") == "1"


def _error(status: int, error: str, **headers: str) -> Response:
    return JSONResponse({"error": error}, status, headers=headers or None)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, **(error.headers or {}))


async def _too_slow(request: Request, error: Exception) -> Response:
    return _error(503, "too much to do at the moment: try again", **{"Retry-After": "5"})


async def _gone(request: Request, error: Exception) -> Response:
    return _error(400, "the upload broke off")


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, str(error))


async def _broken(request: Request, error: Exception) -> Response:
    return _error(500, "arcage failed: the terminal where it runs says more")
