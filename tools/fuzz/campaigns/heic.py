"""HEIC, AVIF and raw files, which are decoded in worker processes."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arcage.errors import ImageError
from arcage.images.decoder import decode
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import interesting_integer, mutate, replace_byte

_SIDE = 64


def _case(rng: np.random.Generator, seeds: list[bytes]) -> Case:
    """Damage a picture, most often in the boxes before its pixels."""
    seed = seeds[int(rng.integers(len(seeds)))]
    if rng.integers(50) == 0:
        return Case(seed)
    pixels = seed.find(b"mdat")
    split = pixels if pixels > 0 and rng.integers(4) else len(seed)
    if rng.integers(2):
        # One byte: libraries are most fragile where nearly everything is right.
        head = mutate(rng, seed[:split], mutators=(replace_byte, interesting_integer), most=1)
    else:
        head = mutate(rng, seed[:split], seeds)
    if rng.integers(4):
        # The offsets of the pixels stay right.
        head = head[:split].ljust(split, b"\0")
    return Case(head + seed[split:], truth=bool(rng.integers(8) == 0))


def _decode(case: Case) -> Verdict:
    image = decode(case.data)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise SilentChange(f"not a picture: {image.shape}, {image.dtype}")
    # Pixels that no decoder wrote may differ.
    if case.truth and not np.array_equal(image, _again(case.data)):
        raise SilentChange("two pictures of one file")
    return "answered"


class Heic:
    """HEIC in colour, grey, with transparency, 10 bits, a thumbnail, EXIF, and several pictures."""

    name = "heic"
    seconds = 15.0

    def prepare(self, folder: Path) -> None:
        self._seeds = _heic_seeds()

    def case(self, rng: np.random.Generator) -> Case:
        return _case(rng, self._seeds)

    def run(self, case: Case) -> Verdict:
        return _decode(case)


class Avif:
    """AVIF in colour, grey and with transparency, at 8 and 10 bits."""

    name = "avif"
    seconds = 15.0

    def prepare(self, folder: Path) -> None:
        self._seeds = _avif_seeds()

    def case(self, rng: np.random.Generator) -> Case:
        return _case(rng, self._seeds)

    def run(self, case: Case) -> Verdict:
        return _decode(case)


class Raw:
    """DNG files with a JPEG preview."""

    name = "raw"
    seconds = 15.0

    def prepare(self, folder: Path) -> None:
        self._seeds = _raw_seeds()

    def case(self, rng: np.random.Generator) -> Case:
        return _case(rng, self._seeds)

    def run(self, case: Case) -> Verdict:
        return _decode(case)


def _heic_seeds() -> list[bytes]:
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    colour = Image.fromarray(_picture())
    exif = Image.Exif()
    exif[274] = 6
    found = []
    for mode in ("RGB", "L", "RGBA"):
        file = io.BytesIO()
        colour.convert(mode).save(file, "HEIF", quality=80, exif=exif.tobytes())
        found.append(file.getvalue())
    options: list[dict[str, Any]] = [
        {"thumbnails": [32], "quality": 80},
        {"save_all": True, "append_images": [colour.rotate(90)], "quality": 80},
        {"chroma": 444, "quality": 80},
    ]
    for more in options:
        file = io.BytesIO()
        colour.save(file, "HEIF", **more)
        found.append(file.getvalue())
    file = io.BytesIO()
    deep = (_picture().astype("<u2") << 8).tobytes()
    pillow_heif.encode("RGB;16", (_SIDE, _SIDE), deep, file, quality=80)
    return [*found, file.getvalue()]


def _avif_seeds() -> list[bytes]:
    alpha = np.dstack([_picture(), np.arange(_SIDE**2, dtype=np.uint8).reshape(_SIDE, _SIDE)])
    found = []
    for pixels in (_picture(), _picture()[..., 0], alpha):
        for depth in (8, 10):
            source = pixels if depth == 8 else pixels.astype(np.uint16) << 2
            options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_SPEED, 10]
            found.append(cv2.imencode(".avif", source, options)[1].tobytes())
    return found


def _raw_seeds() -> list[bytes]:
    sys.path.append(str(Path(__file__).parents[3] / "tests"))
    from encoded import dng, jpeg

    return [dng(jpeg(_picture()), orientation, order) for orientation in (1, 6) for order in "<>"]


def _picture() -> np.ndarray:
    y, x = np.mgrid[:_SIDE, :_SIDE] * 4
    return np.stack([x, y, (x * y) % 256], axis=-1).astype(np.uint8)


def _again(data: bytes) -> Any:
    try:
        return decode(data)
    except ImageError as error:
        raise SilentChange(f"a picture the first time, then {error}") from None
