"""Measure how much predictions change if boxes are given instead of detected.

    python benchmarks/accuracy/own_boxes.py --data ../shared/data
    python benchmarks/accuracy/own_boxes.py --data ../shared/data --set utkface

The faces that arcage detects in a random choice of photos (seed 0) are given back in several ways: boxes
with landmarks, boxes alone, and boxes as other detectors draw them. ``geometry`` does not look for landmarks,
as if no face were confirmed in a box. A difference is that of the ages predicted for the same face.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from arcage.embedder.extractor import Extractor
from arcage.embedder.locate import CANONICAL
from arcage.embedder.reading import with_faces
from arcage.heads.store import load_heads
from arcage.types import F32, GivenFaces, ImageFaces

SURE = 0.9
"""Detector score of faces that are surely those of the photo, not half of one in the background."""
Change = Callable[[F32, np.random.Generator], F32]


def grown(factor: float) -> Change:
    def change(boxes: F32, _: np.random.Generator) -> F32:
        return around(boxes, (boxes[:, 2:] - boxes[:, :2]) * factor)

    return change


def square(boxes: F32, _: np.random.Generator) -> F32:
    return around(boxes, (boxes[:, 2:] - boxes[:, :2]).mean(axis=1, keepdims=True))


def shifted(boxes: F32, rng: np.random.Generator) -> F32:
    """Move each side by up to 15 % of the box."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + rng.uniform(-0.15, 0.15, boxes.shape) * sides).astype(np.float32)


def around(boxes: F32, sides: F32) -> F32:
    """Return boxes of other sides, (n, 1 or 2), with the same centres."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([middle - sides / 2, middle + sides / 2], axis=1).astype(np.float32)


WAYS: Mapping[str, Change] = MappingProxyType(
    {
        "box and landmarks": grown(1),
        "box": grown(1),
        "box, sides moved by up to 15 %": shifted,
        "box, square": square,
        "box, half as wide again": grown(1.5),
        "box, three quarters as wide": grown(0.75),
        "geometry": grown(1),
        "geometry, sides moved by up to 15 %": shifted,
    }
)


def given(way: str, image: ImageFaces, rng: np.random.Generator) -> GivenFaces:
    boxes = WAYS[way](np.stack([face.box for face in image.faces]), rng)
    landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
    if way == "box and landmarks":
        landmarks = np.stack([face.landmarks for face in image.faces])
    if way.startswith("geometry"):
        landmarks = boxes[:, None, :2] + CANONICAL * (boxes[:, 2:] - boxes[:, :2])[:, None]
    return GivenFaces(boxes, landmarks)


def measure(extractor: Extractor, photos: Sequence[Path], heads: str | None) -> None:
    model = load_heads(heads)
    found = [
        (path, image) for path, image in extractor.stream((p, p.read_bytes) for p in photos) if image.faces
    ]
    before = model.predict(np.concatenate([image.descriptors for _, image in found]))
    sure = np.array([face.score >= SURE for _, image in found for face in image.faces])
    print(f"{len(found)} photos with {len(sure)} faces, {sure.sum()} of them with a score of {SURE} or more")
    for way in WAYS:
        rng = np.random.default_rng(0)
        images = (
            (path, partial(with_faces, path.read_bytes, given(way, image, rng))) for path, image in found
        )
        results = [image for _, image in extractor.stream(images)]
        after = model.predict(np.concatenate([image.descriptors for image in results]))
        scores = np.array([face.score for image in results for face in image.faces])
        change = np.abs(after.age - before.age)
        same = (after.p_female >= 0.5) == (before.p_female >= 0.5)
        cells = [
            f"{name}: mean {change[rows].mean():.2f}, 95 % {np.percentile(change[rows], 95):.2f}, "
            f"largest {change[rows].max():.2f} years, same gender {100 * same[rows].mean():.1f} %"
            for name, rows in (("all", sure | True), ("sure", sure))
        ]
        print(f"{way}: {'; '.join(cells)}; not confirmed {int((scores == 0).sum())}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw/ and utkface/")
    parser.add_argument("--set", default="lfw", help="folder of the photos")
    parser.add_argument("--count", type=int, default=500, help="number of photos")
    parser.add_argument("--heads", help="folder; the bundled heads by default")
    arguments = parser.parse_args()
    photos = sorted((arguments.data / arguments.set).rglob("*.jpg"))
    rng = np.random.default_rng(0)
    chosen = [photos[i] for i in sorted(rng.choice(len(photos), arguments.count, replace=False))]
    measure(Extractor(device="cpu"), chosen, arguments.heads)


if __name__ == "__main__":
    main()
