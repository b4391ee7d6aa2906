"""A fake pipeline: the command line, the cache and the outputs are real, the networks are replaced.

An image is a JSON text that lists its faces (:func:`image`), or a real picture, which has one face. Run as a
script, this file is ``arcage`` on the fake pipeline. Environment variables (``FAKE_...``) slow it down, log
what it computes, and limit its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from arcage.embedder.reading import cache_key
from arcage.errors import DeviceError, HeadsError, ImageError, ImageHereError
from arcage.heads.distribution import LEVELS
from arcage.heads.model import Predictions
from arcage.images.decoder import decode
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.multi_frame import is_multi_frame
from arcage.types import F32, Face, ImageFaces

FINGERPRINT = "fake"


def image(*faces: tuple[float, ...], width: int = 640, height: int = 480) -> bytes:
    """Return an image with faces, each x1, y1, x2, y2, score, age, p_female; highest score first."""
    return json.dumps({"width": width, "height": height, "faces": faces}).encode()


def face(
    age: float = 30, p_female: float = 0.9, box: tuple[float, ...] = (10, 20, 60, 90), score: float = 0.95
) -> Any:
    return (*box, score, age, p_female)


def _landmarks(x1: float, y1: float, x2: float, y2: float) -> Any:
    return np.full((5, 2), ((x1 + x2) / 2, (y1 + y2) / 2), np.float32)


class FakeExtractor:
    """Stand-in for ``arcage.embedder.extractor.Extractor``. A descriptor is an age and a p_female."""

    computed: Callable[[str], object] = staticmethod(lambda sha256: None)
    delay = float(os.environ.get("FAKE_DELAY", 0))
    note = ""
    dimension = 2
    pipeline: ClassVar[dict[str, Any]] = {"made": "up"}
    description = pipeline
    pack = SimpleNamespace(embedders=(), name="compact")

    def __init__(
        self,
        pack: str = "compact",
        device: str = "auto",
        hint: str = "throughput",
        variant: int = 0,
        min_face: int = 40,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        self.min_face = min_face
        self.limits = limits
        self.fingerprint = (FINGERPRINT if pack == "compact" else pack) + (
            "" if not variant else f"-{variant}"
        )
        self.device = device
        self.hint = hint

    def cache_name(self, faces_from: str) -> str:
        return self.fingerprint + ("" if faces_from == "detector" else f"-{faces_from}")

    def description_of(self, faces_from: str) -> dict[str, Any]:
        return self.description | ({} if faces_from == "detector" else {"faces": faces_from})

    @property
    def engine(self) -> Any:
        if self.device not in ("auto", "cpu"):
            raise DeviceError(f"the device {self.device!r} is not installed")
        return SimpleNamespace(name="fake 1.0", device="cpu", note=self.note)

    def close(self) -> None:
        pass

    def stream(
        self,
        images: Iterable[Any],
        lookup: Any = None,
        *,
        chunk: int | None = None,
        workers: Any = None,
        size_of: Any = None,
    ) -> Generator[Any]:
        for item, read in images:
            yield item, self._one(read, lookup)

    def _one(self, read: Callable[[], bytes], lookup: Any) -> ImageFaces:
        none = np.empty((0, 2), np.float16)
        sha256 = ""
        try:
            found = read()
            data, given = found if isinstance(found, tuple) else (found, None)
            if not isinstance(data, bytes):  # a frame of a video
                data = image(face(), width=data.shape[1], height=data.shape[0])
            sha256 = cache_key(hashlib.sha256(data).hexdigest(), given)
            cached = lookup(sha256) if lookup else None
            if cached is not None:
                return replace(cached, multi_frame=is_multi_frame(data))
            time.sleep(self.delay)
            self.computed(sha256)
            content = json.loads(data) if data.startswith(b'{"width"') else _picture(data, self.limits)
        except ImageError as error:
            sha256 = "" if isinstance(error, ImageHereError) else sha256
            return ImageFaces(sha256, 0, 0, "unreadable", str(error), (), none)
        if given is not None:
            content["faces"] = [_given_face(*pair) for pair in zip(given.boxes, given.landmarks, strict=True)]
            content["faces"] += [face(box=(0, 0, 112, 112), age=40)] * given.aligned
        faces = tuple(
            Face(np.array(f[:4], np.float32), _landmarks(*f[:4]), float(np.float32(f[4])))
            for f in content["faces"]
        )
        descriptors = np.array([f[5:] for f in content["faces"]], np.float16).reshape(-1, 2)
        status = "ok" if faces else "no_face"
        multi_frame = is_multi_frame(data)
        return ImageFaces(
            sha256, content["width"], content["height"], status, "", faces, descriptors, multi_frame
        )


def _given_face(box: F32, landmarks: F32) -> list[float]:
    """Return a face that a user gave. Its age is the height of the box; it is female if it has landmarks."""
    known = not np.isnan(landmarks).any()
    return [*box.tolist(), 1.0 if known else 0.75, float(box[3] - box[1]), float(known)]


def _picture(data: bytes, limits: DecodeLimits) -> dict[str, Any]:
    height, width = decode(data, limits=limits).shape[:2]
    box = (width / 4, height / 4, width / 2, height / 2)
    return {"width": width, "height": height, "faces": [face(box=box)]}


class FakeHeads:
    """Stand-in for heads: predicts the age and p_female that a descriptor contains.

    The distribution is uniform within 10 years around the age; the interval of 90 % is another one.
    """

    fingerprint = FINGERPRINT
    calls: ClassVar[list[int]] = []
    familiarity = float("nan")
    """Of all faces; NaN for heads without this measure."""

    def check(self, fingerprint: str, pack: str = "") -> None:
        if fingerprint != FINGERPRINT:
            raise HeadsError(f"these heads were fitted on {FINGERPRINT}, not on {fingerprint}")

    def check_distribution(self, purpose: str) -> None:
        pass

    def check_familiarity(self, purpose: str) -> None:
        if np.isnan(self.familiarity):
            raise HeadsError(f"{purpose} needs a measure of familiarity")

    def predict(self, descriptors: Any) -> Any:
        self.calls.append(len(descriptors))
        age, p_female = np.asarray(descriptors, np.float32).T
        quantiles = age[:, None] + 20 * np.subtract(LEVELS, 0.5).astype(np.float32)
        familiarity = np.full(len(age), self.familiarity, np.float32)
        return Predictions(age, age - 5, age + 7.5, p_female, quantiles, familiarity)


def load_heads(folder: str | Path | None = None) -> FakeHeads:
    if folder is not None and not Path(folder).exists():
        raise HeadsError(f"there are no heads in {folder}")
    return FakeHeads()


def install(patch: Callable[[object, str, object], object] = setattr) -> None:
    """Replace the real extractor and heads."""
    import arcage.embedder.extractor
    import arcage.predictor

    patch(arcage.embedder.extractor, "Extractor", FakeExtractor)
    patch(arcage.predictor, "Extractor", FakeExtractor)
    patch(arcage.predictor, "load_heads", load_heads)


def _main() -> None:
    from functools import partial

    import arcage.extraction.run
    from arcage.cli import main

    # Background jobs of a shell inherit an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    install()
    if log := os.environ.get("FAKE_LOG"):
        file = open(log, "a", buffering=1)  # noqa: SIM115 (open until the process is killed)
        FakeExtractor.computed = staticmethod(lambda sha256: file.write(sha256 + "\n"))
    if per_shard := os.environ.get("FAKE_PER_SHARD"):
        arcage.extraction.run.ShardWriter = partial(
            arcage.extraction.run.ShardWriter, images_per_shard=int(per_shard)
        )
    if limit := os.environ.get("FAKE_FILE_BYTES"):
        import resource  # POSIX only

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    main()


if __name__ == "__main__":
    _main()
