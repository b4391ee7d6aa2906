"""Compare YuNet in OpenCV's FaceDetectorYN and in arcage: same file, same faces, speed of each.

    python benchmarks/speed/detection.py --data ../shared/data --work /tmp/speed

Canvases of 320 pixels contain one UTKFace crop with a margin, as arcage searches crops; canvases of 640
pixels contain nine. The detectors alternate, and use all cores for one canvas at a time. A time is from the
pixels to the faces after non-maximum suppression. CPU milliseconds are the sum over all cores, and hardly
depend on other load.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import measure
import numpy as np
import stages

from arcage.embedder.candidates import IOU_THRESHOLD, FaceDetector, non_maximum_suppression
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import THRESHOLD
from arcage.embedder.networks import load_detector
from arcage.embedder.packs.record import bundled_pack
from arcage.images.decoder import decode
from arcage.sources.walk import walk
from arcage.types import F32, U8

ROUNDS, BLOCK = 5, 20
CROPS = {320: 1, 640: 9}
"""Number of crops on a canvas, by its side."""

Found = tuple[F32, F32]
"""Boxes (n, 4), x1 y1 x2 y2, and landmarks (n, 5, 2), in pixels of the canvas, best first."""
Detect = Callable[[U8], Found]


@dataclass(frozen=True, slots=True)
class Agreement:
    faces: int
    unmatched: int
    """Faces that only one of the two finds (intersection over union below 0.5)."""
    least_iou: float
    largest_distance: float
    """Largest distance between landmarks, pixels of the canvas."""


def of_opencv(model: Path, side: int) -> Detect:
    network = cv2.FaceDetectorYN.create(str(model), "", (side, side), THRESHOLD, IOU_THRESHOLD)

    def detect(canvas: U8) -> Found:
        # OpenCV takes BGR; the channels are swapped before the clock starts, see `time_of`.
        faces = network.detect(canvas)[1]
        faces = np.empty((0, 15), np.float32) if faces is None else faces
        boxes = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4]], axis=1)
        return boxes, faces[:, 4:14].reshape(-1, 5, 2)

    return detect


def of_arcage(detector: FaceDetector) -> Detect:
    def detect(canvas: U8) -> Found:
        found = detector.candidates(canvas[None], THRESHOLD)
        found = found.select(non_maximum_suppression(found))
        return found.boxes, found.landmarks

    return detect


def compare(pairs: Sequence[tuple[Found, Found]]) -> Agreement:
    """Compare detections on the same canvases; each face is matched with the one that it overlaps most."""
    faces = unmatched = 0
    least, largest = 1.0, 0.0
    for (boxes, landmarks), (other_boxes, other_landmarks) in pairs:
        faces += len(boxes)
        unmatched += max(len(other_boxes) - len(boxes), 0)
        if not len(other_boxes):
            unmatched += len(boxes)
            continue
        for box, points in zip(boxes, landmarks, strict=True):
            overlaps = iou(box, other_boxes)
            best = int(overlaps.argmax())
            if overlaps[best] < 0.5:
                unmatched += 1
                continue
            least = min(least, float(overlaps[best]))
            largest = max(largest, float(np.linalg.norm(points - other_landmarks[best], axis=1).max()))
    return Agreement(faces, unmatched, least, largest)


def iou(box: F32, others: F32) -> F32:
    """Return the intersection over union of a box with others, shape (n, 4) -> (n,)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(shared / (areas - shared), np.float32)


def canvases(paths: Sequence[Path], side: int) -> list[U8]:
    """Return black canvases with crops centred in equal cells, 5/8 as wide as these; RGB."""
    rows = round(CROPS[side] ** 0.5)
    cell = side // rows
    width = cell * 5 // 8
    made = []
    for start in range(0, len(paths) - CROPS[side] + 1, CROPS[side]):
        canvas = np.zeros((side, side, 3), np.uint8)
        for i, path in enumerate(paths[start : start + CROPS[side]]):
            face = cv2.resize(decode(path.read_bytes()), (width, width), interpolation=cv2.INTER_AREA)
            top, left = (cell * place + (cell - width) // 2 for place in divmod(i, rows))
            canvas[top : top + width, left : left + width] = face
        made.append(canvas)
    return made


def time_of(detect: Detect, images: Sequence[U8]) -> tuple[float, float]:
    """Return milliseconds per canvas: elapsed, and CPU time of all cores."""
    wall, cpu = time.perf_counter(), time.process_time()
    for image in images:
        detect(image)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / len(images) * 1000, cpu / len(images) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON file and the plot; default WORK/results"
    )
    parser.add_argument("--faces", type=int, default=450, help="number of faces, evenly spaced in UTKFace")
    args = parser.parse_args()
    out: Path = args.out or args.work / "results"
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": measure.machine()}
    sources = stages.thinned(list(walk([args.data / "utkface"])), args.faces)
    paths = [Path(source.path) for source in sources]
    pack = bundled_pack()
    ours = of_arcage(load_detector(OpenVinoEngine("latency"), pack))
    rates, rows = {}, []
    for side in CROPS:
        images = canvases(paths, side)
        bgr = [np.ascontiguousarray(image[:, :, ::-1]) for image in images]
        opencv = of_opencv(pack.folder / pack.detector.file, side)
        agreement = compare([(opencv(b), ours(i)) for b, i in zip(bgr, images, strict=True)])
        rounds = [(time_of(opencv, bgr[:BLOCK]), time_of(ours, images[:BLOCK])) for _ in range(ROUNDS)]
        (theirs_ms, theirs_cpu), (ours_ms, ours_cpu) = np.median(rounds, axis=0).tolist()
        ratio, cpu_ratio = np.median([np.divide(*pair) for pair in rounds], axis=0).tolist()
        rates |= {f"OpenCV, {side}": 1000 / theirs_ms, f"arcage, {side}": 1000 / ours_ms}
        times = (theirs_ms, ours_ms, ratio, theirs_cpu, ours_cpu, cpu_ratio)
        least, largest = f"{agreement.least_iou:.5f}", f"{agreement.largest_distance:.4f}"
        counts = f"{agreement.faces:,}", f"{agreement.unmatched}"
        rows.append((f"{side} x {side}", *(f"{f:.2f}" for f in times), *counts, least, largest))
        report[str(side)] = {
            "ms": {"opencv": theirs_ms, "arcage": ours_ms, "ratio": ratio},
            "ms_of_all_cores": {"opencv": theirs_cpu, "arcage": ours_cpu, "ratio": cpu_ratio},
            "rounds": rounds,
            "canvases": len(images),
            **asdict(agreement),
        }
    head = (
        "", "OpenCV ms", "arcage ms", "ratio", "OpenCV CPU ms", "arcage CPU ms", "ratio",
        "faces", "unmatched", "minimum IoU", "landmarks px",
    )  # fmt: skip
    print(measure.as_text(head, rows))
    measure.save(out, "detection", report)
    measure.plot(out / "detection.png", "YuNet, one canvas at a time", "canvases a second", rates)


if __name__ == "__main__":
    main()
