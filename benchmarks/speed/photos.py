"""Generate a folder of large photos with faces, identical on every machine.

Most photos are face crops, blended at many sizes into a background of noise at all scales. The others are an
enlarged group of six and an enlarged portrait. Added grain gives the files the size of camera files.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from arcage.embedder.engines.base import cores
from arcage.types import U8

MEGAPIXELS = 1.0, 12.0
FACES = 1, 10
GRID = 3, 4
"""Rows and columns of a wide photo; each face lies within one cell, so faces do not overlap."""
QUALITY = 90


def make(folder: Path, count: int, crops: Sequence[Path], group: Path, portrait: Path, seed: int = 0) -> None:
    """Write ``count`` JPEG files, unless the folder has as many already.

    Args:
        crops: tight crops of single faces.
        group: photo of several people.
        portrait: photo of one person.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.jpg"))) == count:
        return

    def write(number: int) -> None:
        photo = one(np.random.default_rng([seed, number]), crops, group, portrait)
        (folder / f"{number:03d}.jpg").write_bytes(_jpeg(photo))

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(write, range(count)))


def one(rng: np.random.Generator, crops: Sequence[Path], group: Path, portrait: Path) -> U8:
    """Return one photo, shape (height, width, 3), uint8, BGR."""
    pixels = 1e6 * rng.uniform(*MEGAPIXELS)
    ratio = rng.choice([4 / 3, 3 / 2])
    height, width = round((pixels / ratio) ** 0.5), round((pixels * ratio) ** 0.5)
    kind = rng.random()
    if kind < 0.3:
        photo = _filled(group if kind < 0.15 else portrait, height, width)
    else:
        rows, columns = GRID
        if rng.random() < 0.3:  # taken upright
            height, width, rows, columns = width, height, columns, rows
        photo = _texture(rng, height, width)
        number = int(rng.integers(FACES[0], FACES[1] + 1))
        for cell in rng.permutation(rows * columns)[:number]:
            row, column = divmod(int(cell), columns)
            h, w = height // rows, width // columns
            place = photo[row * h : (row + 1) * h, column * w : (column + 1) * w]
            _put(place, _read(crops[rng.integers(len(crops))]), rng)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    grain = cv2.randn(np.empty(photo.shape, np.int16), (0, 0, 0), (6, 6, 6))
    return np.asarray(cv2.add(photo, grain, dtype=cv2.CV_8U), np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int) -> U8:
    """Return smooth noise at every scale, from the whole image down to a few pixels."""
    total = np.full((height, width, 3), 120, np.float32)
    cells = 2
    while cells < height // 8:
        noise = rng.normal(0, 60 / cells**0.6, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
        cells *= 4
    return np.clip(total, 0, 255).astype(np.uint8)


def _put(place: U8, face: U8, rng: np.random.Generator) -> None:
    """Blend a face into a part of a photo, with random size and position."""
    height, width = place.shape[:2]
    side = int(min(height, width) * rng.uniform(0.4, 0.95))
    top, left = int(rng.integers(height - side)), int(rng.integers(width - side))
    face = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((side, side), np.float32)
    half = side // 2
    cv2.ellipse(mask, (half, half), (int(half * 0.85), int(half * 0.95)), 0, 0, 360, 1.0, -1)
    mask = cv2.blur(mask, (side // 10 + 1, side // 10 + 1))[:, :, None]
    place = place[top : top + side, left : left + side]
    place[:] = face * mask + place * (1 - mask)


def _filled(path: Path, height: int, width: int) -> U8:
    """Enlarge a photo until it covers the size; crop at the bottom and the sides."""
    image = _read(path)
    factor = max(height / image.shape[0], width / image.shape[1])
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    image = cv2.copyMakeBorder(image, 0, 2, 0, 2, cv2.BORDER_REPLICATE)  # rounding may lose a row or column
    left = (image.shape[1] - width) // 2
    return image[:height, left : left + width]


def _read(path: Path) -> U8:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path} cannot be read")
    return np.asarray(image, np.uint8)


def _jpeg(image: U8) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes()
