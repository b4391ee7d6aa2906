"""Limits of a connection, of a request, and of all requests together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a connection, of a request, and of all requests together."""

    photo_bytes: int = 64 << 20
    zip_bytes: int = 256 << 20
    zip_photos: int = 1000
    unpacked_bytes: int = 1 << 30
    """Of all photos in a zip."""
    header_seconds: float = 10
    """For the headers of a request to arrive."""
    upload_seconds: float = 120
    """For the body of a request to arrive."""
    upload_rate: int = 10_000
    """Minimum bytes per second of an upload that takes longer than 10 seconds, in any 10 seconds."""
    answer_seconds: float = 60
    """To wait for a free processor, and for the prediction of one photo."""
    zip_seconds: float = 1800
    """For the predictions of all photos in a zip."""
    connections: int = 200
    """Open connections; of more, the slowest one of the client with the most is closed."""
    uploads_bytes: int = 1 << 29
    """Photos and zips in memory, of all requests together."""
    waiting: int = 100
    """Photos that wait for a free processor, of all requests together."""
    stop_seconds: float = 8
    """For requests in progress to finish after SIGTERM; Docker waits 10 seconds before it kills."""
