"""Encoded images to upright RGB pixels: :func:`decode` for callers, and one module for each format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arcage.images.decoder import decode

__all__ = ["decode"]


def __getattr__(name: str) -> Any:
    # On demand: modules that only read headers need neither NumPy nor OpenCV.
    if name == "decode":
        from arcage.images.decoder import decode

        return decode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
