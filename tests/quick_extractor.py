"""An extractor without networks, for worker processes: its images are real, its descriptors are made up.

Run as a script, this file is ``arcage`` with it. Environment variables: ``QUICK_DELAY``, seconds for each
image; ``QUICK_LOG``, a file to which the digests of computed images are added; ``QUICK_FILE_BYTES``, the
maximum size of files. The pixel in the corner of an image can end the process: see ``DEADLY``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from arcage.embedder import extractor as module
from arcage.embedder.extractor import Extractor
from arcage.types import Face, ImageFaces

DEADLY = 255
"""Blue of the corner of an image that ends each worker process."""
MAIN = "QUICK_MAIN"
"""Environment variable with the id of the main process, which no image ends."""


def picture(number: int, *, blue: int = 0, side: int = 8) -> bytes:
    """Return a PNG image; the number makes it unique."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[0, 0] = blue, number % 256, number // 256
    return cv2.imencode(".png", pixels)[1].tobytes()


class Quick(Extractor):
    """Finds one face in each image. Its descriptor is made from the digest."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)

    @property
    def networks(self) -> Any:
        return None

    def _describe(self, images: Sequence[Any]) -> Iterator[tuple[int, ImageFaces]]:
        for image in images:
            time.sleep(float(os.environ.get("QUICK_DELAY", 0)))
            if image.image[0, 0, 2] == DEADLY and os.getpid() != int(os.environ.get(MAIN, 0)):
                os.kill(os.getpid(), signal.SIGSEGV)
                time.sleep(30)
            if log := os.environ.get("QUICK_LOG"):
                with open(log, "a") as file:
                    file.write(f"{os.getpid()} {image.sha256}\n")
            height, width = image.image.shape[:2]
            # A decoded picture gets its digest later.
            seed = int(image.sha256[:16], 16) if image.sha256 else zlib.crc32(image.image.tobytes())
            rng = np.random.default_rng(seed)
            face = Face(np.array([0, 0, 4, 4], np.float32), np.zeros((5, 2), np.float32), 0.75)
            descriptors = rng.random((1, self.dimension), np.float32).astype(np.float16)
            yield (
                image.number,
                ImageFaces(
                    image.sha256,
                    width,
                    height,
                    "ok",
                    "",
                    (face,),
                    descriptors,
                    image.multi_frame,
                    self.min_face,
                ),
            )


def _main() -> None:
    import quick_extractor  # by its name, under which worker processes import it

    import arcage.predictor
    from arcage.cli import main

    os.environ[MAIN] = str(os.getpid())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module.Extractor = arcage.predictor.Extractor = quick_extractor.Quick  # type: ignore[misc]
    if limit := os.environ.get("QUICK_FILE_BYTES"):
        import resource  # POSIX only

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    sys.argv[0] = "arcage"
    main()


if __name__ == "__main__":
    _main()
