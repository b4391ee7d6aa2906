"""Decode images in a worker process, which a damaged file may crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from arcage.errors import ImageError, ImageExtraError, ImageHereError, ImageMemoryError
from arcage.images.limits import DecodeLimits
from arcage.process import cell
from arcage.types import U8

_ERRORS: dict[str, type[ImageError]] = {
    kind.__name__: kind for kind in (ImageError, ImageHereError, ImageMemoryError, ImageExtraError)
}
"""Exceptions of a worker that are raised again."""
_MAX_TEXT = 1000
"""Maximum length of the message of an exception, characters."""


def decode_in_cell(job: str, data: bytes, limits: DecodeLimits) -> U8:
    """Decode an image in a worker process.

    Args:
        job: name of a job, ``module:function``, that yields the result of :func:`replies`.
        data: encoded image.
        limits: the limits, which the job gets as ``memory``, ``seconds`` and ``pixels``.

    Returns:
        Shape (height, width, 3), uint8, RGB, as the job returned it.

    Raises:
        ImageError: the error of the job.
        ImageMemoryError: decoding takes more memory than the limit.
        ImageHereError: decoding takes longer than the limit, or the decoder crashed.
    """
    args = {"memory": limits.memory, "seconds": limits.seconds, "pixels": limits.pixels}
    with cell_errors(limits):
        reply = cell.run_once(job, args, data, limits=cell.CellLimits(limits.memory, limits.seconds))
    raise_error(reply.header)
    return picture(reply, limits.pixels)


@contextmanager
def cell_errors(limits: DecodeLimits) -> Iterator[None]:
    """Turn errors of a cell into those of :func:`decode_in_cell`."""
    try:
        yield
    except cell.CellTimeoutError:
        raise ImageHereError(
            f"decoding takes longer than {limits.seconds:g} seconds: raise `max_seconds`"
        ) from None
    except cell.CellMemoryError:
        raise ImageMemoryError(
            f"decoding takes more than {limits.memory / 1e6:,.0f} MB of memory: make it smaller, "
            "or raise `max_memory`"
        ) from None
    except cell.CellStartError as error:
        raise ImageHereError(f"{error}; `arcage doctor` checks the installation") from None
    except cell.CellDiedError as error:
        raise ImageHereError(f"the decoder failed, probably because the image is damaged: {error}") from None


def raise_error(header: dict[str, Any]) -> None:
    """Raise the error in the header of a reply, if it has one."""
    kind, text = header.get("error"), header.get("text")
    if isinstance(kind, str) and isinstance(text, str) and kind in _ERRORS:
        raise _ERRORS[kind](text[:_MAX_TEXT])


def error_header(error: ImageError) -> dict[str, Any]:
    """Return the header of a reply from which :func:`raise_error` raises an error."""
    return {"error": type(error).__name__, "text": str(error)[:_MAX_TEXT]}


def picture(reply: cell.Reply, pixels: int) -> U8:
    """Return the pixels in a reply: shape (height, width, 3), uint8, RGB.

    Args:
        reply: has the header of :func:`picture_header`, unless the worker is broken.
        pixels: maximum of width x height.

    Raises:
        ImageHereError: it is not a picture.
    """
    height, width = reply.header.get("height"), reply.header.get("width")
    if (
        not isinstance(height, int)
        or not isinstance(width, int)
        or not 0 < height * width <= pixels
        or min(height, width) < 1
        or len(reply.body) != height * width * 3
    ):
        raise ImageHereError("the decoder failed: it returned no picture")
    return np.frombuffer(reply.body, np.uint8).reshape(height, width, 3)


def picture_header(image: U8) -> dict[str, Any]:
    """Return the header of a reply whose body is a contiguous image, for :func:`picture`."""
    return {"height": image.shape[0], "width": image.shape[1]}


def replies(decode: Callable[[], U8]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the reply of a job: the pixels that a function returns, or its ImageError."""
    try:
        image = np.ascontiguousarray(decode())
    except ImageError as error:
        yield error_header(error), b""
        return
    yield picture_header(image), image
