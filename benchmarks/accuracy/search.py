"""Measure which faces are found in large pictures, and how rotated faces are read.

    python benchmarks/accuracy/search.py --data ../shared/data

Large pictures: LFW photos, reduced to a given face width, on a grey image of 48 megapixels. Rotated faces:
UTKFace crops (the bundled heads were fitted on most of them: compare the angles, not the errors) and photos,
rotated about their centre, without EXIF. Upright faces: how many are rotated by mistake.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from arcage.embedder import detect, rotated
from arcage.embedder.candidates import Candidates, FaceDetector
from arcage.embedder.detect import find_faces
from arcage.embedder.extractor import THRESHOLD, Extractor
from arcage.images.decoder import decode
from arcage.predictor import Predictor
from arcage.types import F32, U8

LARGE = 6000, 8000
"""Height and width."""
COLUMNS, ROWS = 8, 6
ANGLES = 0, 30, 45, 60, 90, 180, 270


def thinned(paths: Sequence[Path], count: int) -> list[Path]:
    """Return a random subset in the original order."""
    rng = np.random.default_rng(0)
    return [paths[i] for i in sorted(rng.choice(len(paths), min(count, len(paths)), replace=False))]


def read(path: Path) -> U8:
    return decode(path.read_bytes())


def middle(faces: Candidates, image: U8) -> F32 | None:
    """Return the box of the face nearest to the centre, shape (4,)."""
    if not len(faces):
        return None
    offset = faces.boxes.reshape(-1, 2, 2).mean(axis=1) - np.array(image.shape[1::-1]) / 2
    box: F32 = faces.boxes[np.linalg.norm(offset, axis=1).argmin()]
    return box


def hit(box: F32, faces: Candidates) -> bool:
    """Return whether a face overlaps the box with an intersection over union above 0.4."""
    low, high = np.maximum(box[:2], faces.boxes[:, :2]), np.minimum(box[2:], faces.boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    both = np.prod(box[2:] - box[:2]) + np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)
    return bool((shared > 0.4 * (both - shared)).any())


def large(detector: FaceDetector, photos: Sequence[Path], min_face: int, widths: Sequence[int]) -> None:
    boxes_of = [
        (image, middle(find_faces(detector, [image], THRESHOLD), image)) for image in map(read, photos)
    ]
    known = [(image, box) for image, box in boxes_of if box is not None][: ROWS * COLUMNS]
    for width in widths:
        scene = np.full((*LARGE, 3), 120, np.uint8)
        boxes = []
        for number, (image, box) in enumerate(known):
            scale = width / (box[2] - box[0])
            photo = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            row, column = divmod(number, COLUMNS)
            # Each at a different position relative to the tiles.
            x, y = column * (LARGE[1] // COLUMNS) + 7 * number, row * (LARGE[0] // ROWS) + 11 * number
            scene[y : y + len(photo), x : x + photo.shape[1]] = photo
            boxes.append(box * scale + [x, y, x, y])
        find_faces(detector, [scene], THRESHOLD, min_face)  # compiles the networks
        start = time.perf_counter()
        found = find_faces(detector, [scene], THRESHOLD, min_face)
        seconds = time.perf_counter() - start
        hits = sum(hit(box, found) for box in boxes)
        words = f"{hits} of {len(boxes)}, {len(found)} in all, {seconds:.2f} s"
        print(f"min_face {min_face}, faces of {width}: {words}", flush=True)


def turn(image: U8, angle: int) -> U8:
    if angle % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, angle // 90))
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return np.asarray(
        cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def report(predictor: Predictor, paths: Sequence[Path], name: str) -> None:
    labels = [path.name.split("_")[:2] for path in paths] if name == "utkface" else []
    for angle in (*ANGLES, "90, mirrored", "180, mirrored"):

        def pictures(angle: int | str = angle) -> Iterator[tuple[int, U8]]:
            for number, path in enumerate(paths):
                degrees, *mirrored = str(angle).split(", ")
                image = turn(read(path), int(degrees))
                yield number, np.ascontiguousarray(image[:, ::-1]) if mirrored else image

        rows = {}
        for number, image, p in predictor.predict_pixels(pictures(), chunk=32):
            if image.faces:
                rows[number] = [p.age[0], p.age_low[0], p.age_high[0], p.p_female[0]]
        out = np.array(list(rows.values()))
        words = f"{name}, {angle} degrees: found {len(rows)} of {len(paths)}"
        if labels:
            age, gender = np.array([labels[number] for number in rows], float).T
            inside = np.mean((out[:, 1] <= age) & (age <= out[:, 2]))
            right = np.mean((out[:, 3] >= 0.5) == gender)
            words += f", MAE {np.abs(out[:, 0] - age).mean():.2f}, covered {inside:.1%}, gender {right:.1%}"
        elif angle == 0:
            upright = rows
        else:
            same = [number for number in rows if number in upright]
            moved = [abs(rows[number][0] - upright[number][0]) for number in same]
            gender = np.mean([(rows[n][3] >= 0.5) == (upright[n][3] >= 0.5) for n in same])
            near = sum(change <= 2 for change in moved) / len(upright)
            words += (
                f", age moves by {np.mean(moved):.2f} years, at most 2 for {near:.1%} of those found upright"
            )
            words += f", gender as upright {gender:.1%}"
        print(words, flush=True)


def changed(detector: FaceDetector, paths: Sequence[Path], name: str) -> None:
    faces = doubtful = searched = 0
    others = []
    for path in paths:
        image = read(path)
        found = find_faces(detector, [image], THRESHOLD)
        faces += len(found)
        doubtful += int((found.scores < rotated.UPRIGHT_SCORE).sum())
        turned = rotated.set_turned(detector, [image], found, THRESHOLD, detect.DEFAULT_MIN_FACE)
        searched += found.scores.max(initial=0) < rotated.UPRIGHT_SCORE
        if not np.array_equal(turned.boxes, found.boxes):
            others.append(path.name)
        upright = rotated.set_upright(detector, [image], turned)
        moved = (upright.landmarks != turned.landmarks).any(axis=(1, 2))
        others += [f"{path.name} {np.round(box).astype(int).tolist()}" for box in turned.boxes[moved]]
    words = (
        f"{len(paths)} images, {searched} searched in all orientations; {faces} faces, {doubtful} checked "
        f"for rotation; {len(others)} turned"
    )
    print(f"{name}, upright: {words}", *others, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="utkface/, lfw/ and fairface/")
    parser.add_argument("--turned", type=int, default=200, help="crops and photos to rotate")
    parser.add_argument("--upright", type=int, default=3000, help="crops and photos to keep upright")
    args = parser.parse_args()
    sets = {name: sorted((args.data / name).rglob("*.jpg")) for name in ("utkface", "lfw", "fairface")}
    detector = Extractor().networks.detector
    photos = thinned(sets["lfw"], 2 * ROWS * COLUMNS)
    large(detector, photos, detect.DEFAULT_MIN_FACE, (40, 45, 50, 60, 80))
    large(detector, photos, 20, (20, 25, 30))
    large(detector, photos, 12, (12, 15, 18))
    for name, paths in sets.items():
        changed(detector, thinned(paths, args.upright), name)
    predictor = Predictor(hint="throughput", faces="center")
    for name, paths in sets.items():
        report(predictor, thinned(paths, args.turned), name)


if __name__ == "__main__":
    main()
