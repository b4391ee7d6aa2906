"""What the header of an image says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The content of a header that decoding needs."""

    width: int
    """Width as stored, before the orientation is applied, pixels."""
    height: int
    orientation: int = 1
    """EXIF orientation, 1 to 8, that remains to be applied after decoding."""
    largest: int = 0
    """Pixels of the largest tile or picture in the file: a decoder allocates memory for it too."""
    depth: int = 16
    """Bits per sample, for samples that OpenCV returns as uint16."""
    memory: int = 0
    """Estimated peak of memory of decoding, including the result, in bytes. 0 if it is not estimated."""
    seconds: float = 0.0
    """Estimated time of decoding on one core, seconds. 0 if it is not estimated."""
