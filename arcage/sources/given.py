"""Images as Python code has them: paths, bytes, files, and decoded pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from arcage.errors import ImageError, InputError
from arcage.files import MAX_FILE_BYTES, reason
from arcage.images.arrays import array_to_rgb
from arcage.images.decoder import decode
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.pillow import is_pillow, pillow_to_rgb
from arcage.sources.source import Source
from arcage.sources.url import is_url, url_name
from arcage.types import U8, Array

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
_LONGEST = 32_767
"""Characters of the longest path that any system takes (Windows)."""
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


def sources_of(images: Iterable[GivenImage], limits: DecodeLimits = DEFAULT_LIMITS) -> Iterator[Source]:
    """Return an iterator of the sources of several images, which takes each image when it is needed.

    Raises:
        InputError: ``images`` is a single image; and, from the iterator, as :func:`source_of`.
    """
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike) or is_pillow(images):
        raise InputError(
            f"an object of type {type(images).__name__} is one image: give a list, or use `predict`"
        )
    if isinstance(images, np.ndarray) and _is_one_picture(images):
        raise InputError(f"a NumPy array of shape {images.shape} is one image: give a list, or use `predict`")
    if hasattr(images, "iloc") and hasattr(images, "columns"):
        raise InputError("a table is not a list of images: give one column of it, such as table['path']")
    if not isinstance(images, Iterable) or callable(getattr(images, "read", None)):
        raise InputError(f"a {type(images).__name__} is not a list or another iterable of images")
    return _sources(images, limits)


def _is_one_picture(images: Array) -> bool:
    if images.dtype.kind in "OSU":  # paths, or images of different sizes
        return False
    return images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))


def _sources(images: Iterable[GivenImage], limits: DecodeLimits) -> Iterator[Source]:
    for number, image in enumerate(images):
        try:
            source = source_of(image, limits)
        except InputError as error:
            raise InputError(f"image {number}, counted from 0: {error}") from None
        yield source


def pixels_of(source: Source, limits: DecodeLimits = DEFAULT_LIMITS) -> U8:
    """Return a source as upright RGB, shape (height, width, 3), uint8.

    Raises:
        ImageError: it cannot be read.
        RemoteError: as :meth:`~arcage.sources.source.Source.read`.
    """
    content = source.content()
    return decode(content, limits=limits) if isinstance(content, bytes) else content


def _named(path: str) -> Source:
    if path[:5].lower() == "data:":
        raise InputError("a data URI is no path: give base64.b64decode(uri.partition(',')[2])")
    if len(path) > _LONGEST:
        raise InputError(
            f"a text of {len(path):,} characters is no path: if it is base64, give base64.b64decode(text)"
        )
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
        kind = type(value).__name__
        return f"an object of type {kind} is not one image: give several images to `predict_many`"
    package = type(value).__module__.partition(".")[0]
    if package in _FOREIGN:
        return f"an array of {package}: give a NumPy array, uint8, RGB, such as {_FOREIGN[package]}"
    return (
        f"an object of type {type(value).__name__} is no image: give a path, the bytes of a file, an open "
        "file, a NumPy array or a Pillow image"
    )
