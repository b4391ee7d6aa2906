"""Videos in the containers and codecs that FFmpeg reads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from arcage.images.limits import DecodeLimits
from arcage.video.read import open_video
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_SEEDS = Path(__file__).parents[1] / "seeds" / "films"
"""Videos of codecs that OpenCV does not write; eight frames each."""
_WRITTEN = (
    ("mp4", "mp4v"),
    ("mov", "mp4v"),
    ("avi", "MJPG"),
    ("avi", "XVID"),
    ("ts", "mp4v"),
    ("mpg", "MPG1"),
)
_FRAMES = 8
_LIMITS = DecodeLimits(seconds=5)


class Films:
    """A video whose decoder crashes is refused: it ends a worker process, not the process of the campaign."""

    name = "films"
    seconds = 30.0

    def prepare(self, folder: Path) -> None:
        self._file = folder / "video.mp4"
        self._seeds = [path.read_bytes() for path in sorted(_SEEDS.iterdir())]
        for suffix, code in _WRITTEN:
            path = folder / f"seed.{suffix}"
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 25, (64, 48))
            for number in range(_FRAMES):
                slope = np.add.outer(np.arange(48), np.arange(64)) * 3 + number * 9
                writer.write(np.repeat(slope[..., None], 3, 2).astype(np.uint8))
            writer.release()
            self._seeds.append(path.read_bytes())

    def case(self, rng: np.random.Generator) -> Case:
        seed = self._seeds[int(rng.integers(len(self._seeds)))]
        if rng.integers(20) == 0:
            return Case(seed, truth=True)
        return Case(mutate(rng, seed, self._seeds))

    def run(self, case: Case) -> Verdict:
        self._file.write_bytes(case.data)
        with open_video(str(self._file), 1000, _LIMITS) as reader:
            frames = list(reader)
            reader.check_end()
        if case.truth and len(frames) < _FRAMES - 1:
            raise SilentChange(f"{len(frames)} frames of an undamaged video")
        numbers = [frame.number for frame in frames]
        if numbers != sorted(set(numbers)) or any(frame.seconds < 0 for frame in frames):
            raise SilentChange(f"frames out of order: {numbers}")
        return "answered"
