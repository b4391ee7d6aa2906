"""Tell images, videos and Parquet files by the suffixes of their names."""

from __future__ import annotations

import os

from arcage.images.unsupported import SUFFIXES as _UNSUPPORTED
from arcage.sources.url import is_url, url_name

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_COMMON = {".bmp", ".dib", ".tif", ".tiff", ".png", ".apng", ".webp", ".gif"}
_NETPBM = {".pbm", ".pgm", ".ppm", ".pnm", ".pam"}
_JPEG_2000 = {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
_HEIF = {".heic", ".heif", ".hif", ".avif"}
_RAW = {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".pef", ".srw", ".raf", ".rw2", ".orf"}

IMAGE_SUFFIXES = frozenset(_JPEG | _COMMON | _NETPBM | _JPEG_2000 | _HEIF | _RAW | _UNSUPPORTED)
"""Suffixes of the files that a folder is searched for, in lower case.

Some formats need an extra, and some are not supported. Their files get an error, so that a folder that holds
only such files does not look empty.
"""

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv"}
    | {".3gp", ".ogv"}
)
"""Suffixes of videos, in lower case. A video is read if it is named; folders are not searched for videos."""

PARQUET_SUFFIX = ".parquet"


def suffix(path: str) -> str:
    """Return the suffix of a path or URL in lower case, with its dot."""
    return os.path.splitext(url_name(path) if is_url(path) else path)[1].lower()


def is_video(path: str) -> bool:
    """Return whether a path or URL has the suffix of a video."""
    return suffix(path) in VIDEO_SUFFIXES


def is_one_image(path: str) -> bool:
    """Return whether an argument names a single image or video, without a request to a server."""
    if is_url(path):
        return suffix(path) in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    return suffix(path) != PARQUET_SUFFIX and not os.path.isdir(path)
