"""Videos and cameras for tests."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from arcage.video.read import Frame, open_video

GREEN = np.full((360, 640, 3), (90, 140, 120), np.uint8)


def write_video(
    path: Path, frames: Iterator[np.ndarray] | list[np.ndarray], fps: float = 25, code: str = "mp4v"
) -> Path:
    """Write RGB frames."""
    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, size)
            assert writer.isOpened()
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    assert writer is not None
    writer.release()
    return path


def grey(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Return frames whose brightness encodes their number."""
    return [np.full((height, width, 3), 8 * n % 256, np.uint8) for n in range(count)]


def put(frame: np.ndarray, picture: np.ndarray, x: int, y: int) -> None:
    """Copy a picture into a frame; it may reach past the border."""
    left, right = max(0, x), min(frame.shape[1], x + picture.shape[1])
    if right > left:
        frame[y : y + picture.shape[0], left:right] = picture[:, left - x : right - x]


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def read_all(path: object) -> list[Frame]:
    with open_video(str(path), 1000) as reader:
        return list(reader)


class FakeCamera:
    """Returns pictures, and raises KeyboardInterrupt after 20."""

    def __init__(self, *_: object) -> None:
        self.left = 20

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_WIDTH: 96, cv2.CAP_PROP_FRAME_HEIGHT: 64}.get(
            what, -1
        )

    def grab(self) -> bool:
        time.sleep(0.01)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((64, 96, 3), 90, np.uint8)

    def release(self) -> None:
        pass


class ListCamera(FakeCamera):
    """Returns pictures with these times in seconds and widths."""

    def __init__(self, *pictures: tuple[float, int], count: int = 0) -> None:
        self.pictures = list(pictures)
        self.count = count
        self.now = (0.0, 96)

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return 1000 * self.now[0]
        return self.count if what == cv2.CAP_PROP_FRAME_COUNT else super().get(what)

    def grab(self) -> bool:
        if not self.pictures:
            return False
        self.now = self.pictures.pop(0)
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((64, self.now[1], 3), 90, np.uint8)
