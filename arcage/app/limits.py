"""Limits of a request, and of all requests together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request, and of all requests together."""

    photo_bytes: int = 64 << 20
    zip_bytes: int = 256 << 20
    zip_photos: int = 1000
    unpacked_bytes: int = 1 << 30
    """Of all photos in a zip."""
    upload_seconds: float = 120
    """For a request to arrive, once it has a place."""
    answer_seconds: float = 60
    """To wait for a place, and then for the prediction of one photo."""
    zip_seconds: float = 1800
    """For the predictions of all photos in a zip."""
    photos_at_once: int = 16
    """Requests of one photo whose bytes are in memory; others wait before they are read."""
