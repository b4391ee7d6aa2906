"""Images as Python code has them: paths, bytes, files, and decoded pictures."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from arcage.errors import ImageError, InputError
from arcage.files import MAX_FILE_BYTES, reason
from arcage.images.arrays import array_to_rgb
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.pillow import is_pillow, pillow_to_rgb
from arcage.sources.source import Source
from arcage.sources.url import is_url, url_name
from arcage.types import Array

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage  # Any, unless Pillow is installed


class BinaryFile(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int, /) -> bytes: ...


GivenImage: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Array | PillowImage | Source"
)
"""A path or URL; an encoded image as bytes or as a binary file; a decoded picture as a NumPy array or as a
``PIL.Image.Image``; or a source."""

NAMELESS = "-"
"""Path in the rows of an image without a name."""
_CHUNK = 1 << 24
_FOREIGN = {
    "torch": "image.permute(1, 2, 0).cpu().numpy() if its channels come first",
    "tensorflow": "image.numpy()",
    "jax": "np.asarray(image)",
    "jaxlib": "np.asarray(image)",
    "cupy": "image.get()",
}
"""How to get a NumPy array from the arrays of other packages."""


def source_of(image: GivenImage, limits: DecodeLimits = DEFAULT_LIMITS) -> Source:
    """Return an image that Python code has as a source.

    A file that is open is read here, from its current position. Decoded pictures are copied. Paths and URLs
    are read later.

    Args:
        image: a path (``str`` or ``os.PathLike``) or URL; an encoded image (``bytes``, ``bytearray``,
            ``memoryview``, or a binary file); a decoded picture (a NumPy array as for
            :func:`arcage.images.arrays.array_to_rgb`, or a ``PIL.Image.Image``); or a source.
        limits: of the size of decoded pictures.

    Raises:
        InputError: it is something else, or a decoded picture of a wrong type, shape or size.
    """
    if isinstance(image, Source):
        return image
    if isinstance(image, str):
        return _named(str(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return Source(NAMELESS, NAMELESS, data=bytes(image))
    if isinstance(image, np.ndarray):
        return Source(NAMELESS, NAMELESS, pixels=array_to_rgb(image, limits))
    if is_pillow(image):
        name = _name(getattr(image, "filename", None))
        try:
            return Source(name, name, pixels=pillow_to_rgb(image, limits))
        except ImageError as error:
            return Source(name, name, error=str(error))
    if isinstance(image, os.PathLike):
        return _named(os.fsdecode(image))
    if callable(getattr(image, "read", None)):
        return _read(image)
    raise InputError(_refusal(image))


def _named(path: str) -> Source:
    return Source(path, url_name(path) if is_url(path) else os.path.basename(path))


def _name(name: Any) -> str:
    """Return the name of a file to show; files may have none, or a number."""
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) and name else NAMELESS


def _read(file: Any) -> Source:
    name = _name(getattr(file, "name", None))
    data = bytearray()
    try:
        # In parts: the file may return fewer bytes than it has, and may never end.
        while part := _part(file):
            data += part
            if len(data) > MAX_FILE_BYTES:
                return Source(name, name, error=f"too large: the limit is {MAX_FILE_BYTES:,} bytes")
    except InputError:
        raise
    except (ValueError, io.UnsupportedOperation) as error:
        raise InputError(f"the file cannot be read ({error}): open it with open(path, 'rb')") from None
    except OSError as error:
        return Source(name, name, error=reason(error))
    return Source(name, name, data=bytes(data))


def _part(file: Any) -> bytes | bytearray | memoryview:
    part = None if isinstance(file, io.TextIOBase) else file.read(_CHUNK)
    if isinstance(part, bytes | bytearray | memoryview):
        return part
    if isinstance(file, io.TextIOBase) or isinstance(part, str):
        raise InputError("the file is open for text: open it with open(path, 'rb')")
    raise InputError(f"read() of {type(file).__name__} returns no bytes: give the bytes of the image")


def _refusal(value: object) -> str:
    """Say what a value is, and what to give instead."""
    if value is None:
        return "None is no image: cv2.imread returns it for a file that it cannot read; give the path instead"
    if isinstance(value, list | tuple | set | frozenset | dict) or hasattr(value, "__next__"):
        return f"a {type(value).__name__} is not one image: give several images to `predict_many`"
    package = type(value).__module__.partition(".")[0]
    if package in _FOREIGN:
        return f"an array of {package}: give a NumPy array, uint8, RGB, such as {_FOREIGN[package]}"
    return (
        f"a {type(value).__name__} is no image: give a path, the bytes of a file, an open file, a NumPy "
        "array or a Pillow image"
    )
