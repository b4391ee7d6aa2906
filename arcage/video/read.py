"""Read the frames of a video or a camera, up to a frame rate."""

from __future__ import annotations

import math
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import cv2

from arcage.errors import DeviceError, ImageError
from arcage.files import reason
from arcage.images.silence import silence_decoders
from arcage.types import U8
from arcage.video.codec import codec

# FFmpeg also reads playlists and scripts that refer to other files and hosts. These containers do not, and no
# protocol is enabled; FFmpeg reads the video itself as a stream of bytes.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf"
_OPTIONS = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": f"format_whitelist;{_CONTAINERS}|protocol_whitelist;none",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # quiet
}
_FPS = 25.0
"""Frame rate of a video that does not state one."""
MAX_PIXELS = 40_000_000
"""Maximum width x height of a frame; 8K has fewer. Several frames are in memory at once."""
_NOT_DECODED = {"AV1", "Theora", "VVC (H.266)", "Dirac", "Daala"}
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

    Raises:
        ImageError: the video has no pictures, or pictures larger than :data:`MAX_PIXELS`.
        DeviceError: the camera returns no pictures.
    """

    def __init__(
        self, capture: Any, rate: float, *, live: bool = False, codec: Callable[[], str] = str
    ) -> None:
        self._codec = codec
        self._capture = capture
        self._rate = rate
        self.live = live
        self._last = 0.0
        self._number = -1
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._fps = fps if 0 < fps <= 1000 else _FPS
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if 0 < count < math.inf and not live else 0
        """Number of frames according to the header; 0 if unknown."""
        _check_size(capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    @property
    def rate(self) -> float:
        """Expected number of frames per second."""
        return min(self._rate, self._fps)

    @property
    def expected(self) -> int:
        """Approximate number of frames that are yielded; 0 if unknown."""
        return math.ceil(self.count / self._fps * self.rate)

    @property
    def truncated(self) -> bool:
        """Whether the video ended long before the length in its header."""
        # Some containers state the number of frames, others only the duration. With a variable frame rate,
        # one of the two is an estimate.
        few = self._number + 1 < _COMPLETE * self.count
        return few and self._last + 0.5 < _COMPLETE * self.count / self._fps

    def __iter__(self) -> Iterator[Frame]:
        start = time.monotonic()
        slot = -1
        while self._grab():
            self._number += 1
            seconds = self._seconds(start)
            # Timestamps of a damaged video may stand still, go back or be missing.
            if self._number or not math.isfinite(seconds):
                seconds = seconds if self._last < seconds < math.inf else self._last + 1 / self._fps
            self._last = max(0.0, seconds)
            # One frame in each interval of 1 / rate seconds.
            current = int(self._last * self._rate + 1e-6)
            if current == slot:
                continue
            slot = current
            if (image := self._retrieve()) is not None:
                yield Frame(self._number, self._last, image)
        if self._number < 0:
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
        if (name := self._codec()) in _NOT_DECODED:
            raise _not_decoded(name)

    def _grab(self) -> bool:
        try:
            with silence_decoders:
                return bool(self._capture.grab())
        except cv2.error:
            return False

    def _retrieve(self) -> U8 | None:
        """Return the grabbed picture, RGB; None if it is damaged."""
        try:
            with silence_decoders:
                ok, image = self._capture.retrieve()
            if not ok or image is None or image.ndim != 3:
                return None
            _check_size(image.shape[1], image.shape[0])  # it may change within a video
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[no-any-return]
        except cv2.error:
            return None


def _not_decoded(codec: str) -> ImageError:
    return ImageError(
        f"OpenCV cannot decode the codec of this video, {codec}: convert it, as in "
        "ffmpeg -i video.mp4 -c:v libx264 converted.mp4"
    )


def _check_size(width: float, height: float) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"too large: {width * height:,.0f} pixels a frame, the limit is {MAX_PIXELS:,}")


@contextmanager
def open_video(path: str, rate: float) -> Iterator[Reader]:
    """Open a video file; the frames are read one after the other.

    Raises:
        ImageError: the file cannot be read, or is not a video in a known container.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageError("not a regular file")
        file = open(path, "rb")  # noqa: SIM115 (closed below)
    except (OSError, ValueError) as error:
        raise ImageError(reason(error)) from None
    with file:
        capture = _open_file(file)
        try:
            if not capture.isOpened():
                if (name := codec(file)) in _NOT_DECODED:
                    raise _not_decoded(name)
                raise ImageError("damaged video, or not in a known format (MP4, MOV, MKV, WebM, AVI, ...)")
            yield Reader(capture, rate, codec=lambda: codec(file))
        finally:
            capture.release()


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


def _open_file(file: IO[bytes]) -> Any:
    stream: Any = file  # OpenCV accepts any buffered binary file, but its stubs do not
    before = {name: os.environ.get(name) for name in _OPTIONS}
    os.environ.update(_OPTIONS)
    try:
        with silence_decoders:
            return cv2.VideoCapture(stream, cv2.CAP_FFMPEG, [])
    except cv2.error:
        raise ImageError("damaged video, or not in a known format (MP4, MOV, MKV, WebM, AVI, ...)") from None
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
