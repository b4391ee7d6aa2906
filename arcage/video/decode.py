"""Decode a video in a worker process, which a damaged file may crash."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import cv2
import numpy as np

from arcage.errors import ImageError
from arcage.files import reason
from arcage.images.isolated import error_header, picture_header
from arcage.images.silence import silence_decoders
from arcage.video.codec import codec
from arcage.video.read import NOT_DECODED, Reader, not_decoded

_SIGN_SECONDS = 0.5
"""Time between two replies if there is no frame to send, seconds. The time limit is that of one picture."""
_MAX_THREADS = 4
"""Each thread of FFmpeg decodes a frame of its own, in memory of its own."""
_BYTES_PER_PIXEL = 24
"""Memory that no decoder does without: a picture in two formats, and those that it refers to. It is allocated
once, because FFmpeg does not say that memory is short, and skips the picture."""


def frames(args: dict[str, Any], _: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the replies that :class:`~arcage.video.read.VideoReader` reads.

    The first has the frame rate and the number of frames of the video. The next ones have a frame each, or
    nothing if there is none for a while. The last one says whether the video is truncated.

    Args:
        args: ``path``, ``rate`` (frames per second), ``pixels`` (maximum of a frame), and ``options``
            (environment variables for OpenCV).
    """
    try:
        yield from _frames(args)
    except ImageError as error:
        yield error_header(error), b""


def _frames(args: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    try:
        file = open(args["path"], "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ImageError(reason(error)) from None
    with file, _opened(file, args["options"]) as capture:
        if not capture.isOpened():
            if (name := codec(file)) in NOT_DECODED:
                raise not_decoded(name)
            raise _damaged()
        reader = Reader(capture, args["rate"], codec=lambda: codec(file), pixels=args["pixels"])
        width, height = (capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        np.empty(int(max(width * height, 0)) * _BYTES_PER_PIXEL, np.uint8)
        yield {"fps": reader.fps, "count": reader.count}, b""
        yield from _replies(reader)
        end: dict[str, Any] = {"truncated": reader.truncated}
        try:
            reader.check_end()
        except ImageError as error:
            end |= error_header(error)
        yield end, b""


def _replies(reader: Reader) -> Iterator[tuple[dict[str, Any], Any]]:
    last = time.monotonic()
    for frame in reader.steps():
        if frame is not None:
            header = {"number": frame.number, "seconds": frame.seconds}
            yield header | picture_header(frame.image), np.ascontiguousarray(frame.image)
        elif time.monotonic() > last + _SIGN_SECONDS:
            yield {}, b""
        else:
            continue
        last = time.monotonic()


@contextmanager
def _opened(file: IO[bytes], options: dict[str, str]) -> Iterator[Any]:
    os.environ.update(options)
    stream: Any = _Stream(file)  # OpenCV accepts any buffered binary file, but its stubs do not
    parameters = [cv2.CAP_PROP_N_THREADS, min(_MAX_THREADS, os.cpu_count() or 1)]
    try:
        with silence_decoders:
            capture = cv2.VideoCapture(stream, cv2.CAP_FFMPEG, parameters)
    except cv2.error:
        raise _damaged() from None
    try:
        yield capture
    finally:
        capture.release()


def _damaged() -> ImageError:
    return ImageError("damaged video, or not in a known format (MP4, MOV, MKV, WebM, AVI, ...)")


class _Stream(io.BufferedIOBase):
    """A file that OpenCV reads. It calls these methods from C++, and crashes if one of them raises."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._file.read(size)  # type: ignore[arg-type]
        except (OSError, ValueError, MemoryError, OverflowError):
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        # FFmpeg also seeks to places before the start of a damaged file.
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1
