"""Read the frames of a video or a camera, up to a frame rate."""

from __future__ import annotations

import math
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import cv2

from arcage.errors import DeviceError, ImageError, ImageHereError
from arcage.files import reason
from arcage.images.isolated import cell_errors, picture, raise_error
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.silence import silence_decoders
from arcage.process.cell import CellLimits, Reply, run
from arcage.types import U8

# FFmpeg also reads playlists and scripts that refer to other files and hosts. These containers do not, and no
# protocol is enabled; FFmpeg reads the video itself as a stream of bytes.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf"
_OPTIONS = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": f"format_whitelist;{_CONTAINERS}|protocol_whitelist;none",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # quiet
}
_FPS, _MAX_FPS = 25.0, 1000
"""Frame rate of a video that does not state one, and the largest that is believed."""
_JOB = "arcage.video.decode:frames"
_NO_MEMORY = -4
"""OpenCV's code of an error for memory that could not be allocated."""
MAX_PIXELS = 40_000_000
"""Maximum width x height of a frame; 8K has fewer. Several frames are in memory at once."""
NOT_DECODED = {"AV1", "Theora", "VVC (H.266)", "Dirac", "Daala"}
"""Codecs that some wheels of OpenCV cannot decode; Theora only if a frame repeats the previous one."""
_COMPLETE = 0.9
"""A video is truncated if it ends before this share of the length in its header."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video."""

    number: int
    """Position in the video, from 0."""
    seconds: float
    """Time since the start."""
    image: U8
    """Shape (height, width, 3), uint8, RGB, upright."""


class Reader:
    """Iterates over the frames of a video or a camera.

    Args:
        capture: an open ``cv2.VideoCapture``.
        rate: maximum number of frames per second.
        live: take the time from the clock, not from the video.
        codec: returns the name of the codec in the container, for error messages.
        pixels: maximum width x height of a frame; by default :data:`MAX_PIXELS`.

    Raises:
        ImageError: the video has no pictures, or pictures larger than :data:`MAX_PIXELS`.
        DeviceError: the camera returns no pictures.
    """

    def __init__(
        self,
        capture: Any,
        rate: float,
        *,
        live: bool = False,
        codec: Callable[[], str] = str,
        pixels: int | None = None,
    ) -> None:
        self._codec = codec
        self._pixels = MAX_PIXELS if pixels is None else pixels
        self._capture = capture
        self._rate = rate
        self.live = live
        self._last = 0.0
        self._number = -1
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(fps) if 0 < fps <= _MAX_FPS else _FPS
        """Frame rate of the video."""
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if 0 < count < 1 << 53 and not live else 0
        """Number of frames according to the header; 0 if unknown."""
        self._check_size(capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    @property
    def rate(self) -> float:
        """Expected number of frames per second."""
        return min(self._rate, self.fps)

    @property
    def expected(self) -> int:
        """Approximate number of frames that are yielded; 0 if unknown."""
        return math.ceil(self.count / self.fps * self.rate)

    @property
    def truncated(self) -> bool:
        """Whether the video ended long before the length in its header."""
        # Some containers state the number of frames, others only the duration. With a variable frame rate,
        # one of the two is an estimate.
        few = self._number + 1 < _COMPLETE * self.count
        return few and self._last + 0.5 < _COMPLETE * self.count / self.fps

    def __iter__(self) -> Iterator[Frame]:
        return (frame for frame in self.steps() if frame is not None)

    def steps(self) -> Iterator[Frame | None]:
        """Yield None after a picture that is not a frame at the requested rate."""
        start = time.monotonic()
        slot = -1
        is_empty = True
        while self._grab():
            self._number += 1
            seconds = self._seconds(start)
            # Timestamps of a damaged video may stand still, go back or be missing.
            if self._number or not math.isfinite(seconds):
                seconds = seconds if self._last < seconds < math.inf else self._last + 1 / self.fps
            self._last = max(0.0, seconds)
            # One frame in each interval of 1 / rate seconds.
            current = int(self._last * self._rate + 1e-6)
            if current == slot:
                yield None
                continue
            slot = current
            image = self._retrieve()
            is_empty = is_empty and image is None
            yield None if image is None else Frame(self._number, self._last, image)
        if is_empty:
            if self.live:
                raise DeviceError("the camera gives no pictures: does another program use it?")
            self._check_codec()
            raise ImageError("a video without pictures, or a damaged one")

    def _seconds(self, start: float) -> float:
        if self.live:
            return time.monotonic() - start
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def check_end(self) -> None:
        """Check for a truncated video, after the last frame.

        Raises:
            ImageError: the video ended too early.
        """
        if self.truncated:
            self._check_codec()
            raise ImageError("truncated video: it ends before its header says")

    def _check_codec(self) -> None:
        if (name := self._codec()) in NOT_DECODED:
            raise not_decoded(name)

    def _grab(self) -> bool:
        try:
            with silence_decoders:
                return bool(self._capture.grab())
        except cv2.error as error:
            _check_memory(error)
            return False

    def _retrieve(self) -> U8 | None:
        """Return the grabbed picture, RGB; None if it is damaged."""
        try:
            with silence_decoders:
                ok, image = self._capture.retrieve()
            if not ok or image is None or image.ndim != 3:
                return None
            self._check_size(image.shape[1], image.shape[0])  # it may change within a video
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[no-any-return]
        except cv2.error as error:
            _check_memory(error)
            return None

    def _check_size(self, width: float, height: float) -> None:
        if width * height > self._pixels:
            raise ImageError(
                f"too large: {width * height:,.0f} pixels a frame, the limit is {self._pixels:,}"
            )


def not_decoded(codec: str) -> ImageError:
    return ImageError(
        f"OpenCV cannot decode the codec of this video, {codec}: convert it, as in "
        "ffmpeg -i video.mp4 -c:v libx264 converted.mp4"
    )


def _check_memory(error: cv2.error) -> None:
    if error.code == _NO_MEMORY:
        raise MemoryError from error


class VideoReader:
    """Iterates over the frames of a video file, which a worker process decodes.

    Raises:
        ImageError: as :func:`open_video`.
    """

    live = False

    def __init__(self, replies: Iterator[Reply], rate: float, limits: DecodeLimits) -> None:
        self._replies = replies
        self._limits = limits
        self._end: dict[str, Any] = {}
        header = self._next().header
        fps, self.count = header.get("fps"), header.get("count")
        """Number of frames according to the header; 0 if unknown."""
        if not _is_number(fps) or not 0 < fps <= _MAX_FPS or type(self.count) is not int or self.count < 0:
            raise _broken()
        self.rate = min(rate, fps)
        """Expected number of frames per second."""
        self.expected = math.ceil(self.count / fps * self.rate)
        """Approximate number of frames that are yielded; 0 if unknown."""

    @property
    def truncated(self) -> bool:
        """Whether the video ended long before the length in its header."""
        return self._end.get("truncated") is True

    def __iter__(self) -> Iterator[Frame]:
        while not self._end:
            reply = self._next()
            header = reply.header
            if "truncated" in header:
                self._end = header
                self._finish()
            elif "number" in header:
                number, seconds = header["number"], header.get("seconds")
                if type(number) is not int or not _is_number(seconds):
                    raise _broken()
                yield Frame(number, float(seconds), picture(reply, MAX_PIXELS))

    def check_end(self) -> None:
        """Check for a truncated video, after the last frame.

        Raises:
            ImageError: the video ended too early.
        """
        raise_error(self._end)

    def _next(self) -> Reply:
        with cell_errors(self._limits):
            reply = next(self._replies, None)
        if reply is None:
            raise _broken()
        if "error" in reply.header and "truncated" not in reply.header:
            self._finish()
            raise_error(reply.header)
        return reply

    def _finish(self) -> None:
        """Wait for the end of the job, after its last reply, so that the worker is kept for the next one."""
        with cell_errors(self._limits):
            next(self._replies, None)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _broken() -> ImageError:
    return ImageHereError("the decoder failed: it returned no picture")


@contextmanager
def open_video(path: str, rate: float, limits: DecodeLimits = DEFAULT_LIMITS) -> Iterator[VideoReader]:
    """Open a video file; the frames are read one after the other, in a worker process.

    Args:
        path: of the file.
        rate: maximum number of frames per second.
        limits: of the memory of the decoder, and of the time of each frame.

    Raises:
        ImageError: the file cannot be read, is not a video in a known container, or exceeds a limit.
    """
    try:
        path = os.path.abspath(path)
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageError("not a regular file")
    except (OSError, ValueError) as error:
        raise ImageError(reason(error)) from None
    args = {"path": path, "rate": rate, "pixels": MAX_PIXELS, "options": _OPTIONS}
    replies = run(_JOB, args, limits=CellLimits(limits.memory, limits.seconds))
    with closing(replies):
        yield VideoReader(replies, rate, limits)


@contextmanager
def open_camera(number: int, rate: float) -> Iterator[Reader]:
    """Open a camera.

    Raises:
        DeviceError: there is no such camera.
    """
    with silence_decoders:
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    try:
        if not capture.isOpened():
            raise DeviceError(f"cannot open the camera {number}: is it there, free, and may you use it?")
        yield Reader(capture, rate, live=True)
    finally:
        capture.release()
