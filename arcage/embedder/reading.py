"""One image on its way to the detector: read, then decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from arcage.embedder.align import SIDE
from arcage.errors import ImageError
from arcage.files import sha256_bytes
from arcage.images.decoder import decode
from arcage.images.limits import DecodeLimits
from arcage.images.multi_frame import is_multi_frame
from arcage.images.pixels import pixels_sha256
from arcage.types import U8, GivenFaces

Read: TypeAlias = bytes | U8
"""An encoded image, or its pixels, (height, width, 3), uint8, RGB."""
ReadImage: TypeAlias = Callable[[], Read | tuple[Read, GivenFaces | None]]
"""Returns an image, perhaps with its faces, which are then not searched for. Raises ImageError."""
ImageKey: TypeAlias = tuple[int, str, bool]
"""The place of an image in its task, its key in a cache, and whether it has several frames."""

_NO_LANDMARKS = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One image between reading and decoding."""

    number: int
    """Its place in the task."""
    sha256: str
    """Its key in a cache, see :attr:`arcage.types.ImageFaces.sha256`."""
    data: bytes
    multi_frame: bool
    faces: GivenFaces | None

    @property
    def key(self) -> ImageKey:
        """What a cache is asked for."""
        return self.number, self.sha256, self.multi_frame

    def decoded(self, limits: DecodeLimits) -> Decoded:
        """Decode the image.

        Raises:
            ImageError: it is broken, or not an aligned crop although it was said to be one.
        """
        image = decode(self.data, limits=limits)
        return Decoded(self.number, self.sha256, _checked(image, self.faces), self.multi_frame, self.faces)


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image between decoding and detection."""

    number: int
    sha256: str
    """Its key in a cache; empty for pixels, until it is needed."""
    image: U8
    multi_frame: bool
    faces: GivenFaces | None

    @property
    def key(self) -> ImageKey:
        """What a cache is asked for."""
        return self.number, self.sha256, self.multi_frame

    def with_key(self) -> Decoded:
        """Return the image with the key of its pixels."""
        return replace(self, sha256=cache_key(pixels_sha256(self.image), self.faces))


def read_image(number: int, read: ReadImage) -> Encoded | Decoded:
    """Read one image.

    Raises:
        ImageError: it cannot be read.
    """
    found = read()
    data, faces = found if isinstance(found, tuple) else (found, None)
    if isinstance(data, bytes):
        return Encoded(number, cache_key(sha256_bytes(data), faces), data, is_multi_frame(data), faces)
    return Decoded(number, "", _checked(data, faces), False, faces)


def with_faces(read: Callable[[], Read], faces: GivenFaces) -> tuple[Read, GivenFaces]:
    """Read an image whose faces are given; with :func:`functools.partial` this is a :data:`ReadImage`."""
    return read(), faces


def cache_key(sha256: str, faces: GivenFaces | None) -> str:
    """Return the key of an image in a cache: its digest, or one of this and of boxes that were given."""
    if faces is None or faces.aligned:
        return sha256
    # NaN has many bit patterns.
    landmarks = np.where(np.isnan(faces.landmarks), _NO_LANDMARKS, faces.landmarks)
    values = (faces.boxes.astype("<f4"), landmarks.astype("<f4"))
    return sha256_bytes(b"".join([bytes.fromhex(sha256), *(array.tobytes() for array in values)]))


def _checked(image: U8, faces: GivenFaces | None) -> U8:
    height, width = image.shape[:2]
    if faces is not None and faces.aligned and (height, width) != (SIDE, SIDE):
        raise ImageError(f"not an aligned crop of {SIDE}x{SIDE} pixels, but {width}x{height}")
    return image
