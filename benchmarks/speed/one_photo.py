"""Measure the parts of ``arcage predict photo.jpg``: ``python benchmarks/speed/one_photo.py [PHOTO]``.

Starts new processes and prints the median of each part in seconds, and the peak memory. The first run fills
the cache of compiled networks and is not counted.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from itertools import pairwise

RUNS = 7
PARTS = (
    "interpreter",
    "imports",
    "pack and heads",
    "networks",
    "detection",
    "descriptors",
    "heads",
    "whole command",
)


def inside(photo: str, started: float) -> None:
    """Measure the parts in this process and print them as JSON."""
    marks = [time.time()]
    from arcage.embedder import align, detect
    from arcage.embedder.extractor import THRESHOLD
    from arcage.images.decoder import decode
    from arcage.predictor import Predictor

    marks.append(time.time())
    predictor = Predictor()
    marks.append(time.time())
    networks = predictor._extractor.networks
    marks.append(time.time())
    with open(photo, "rb") as file:
        image = decode(file.read())
    faces = detect.find_faces(networks.detector, [image], THRESHOLD)
    marks.append(time.time())
    descriptors = networks.embed(align.align([image], faces.pictures[:1], faces.landmarks[:1]))
    marks.append(time.time())
    predictor._heads.predict(descriptors)
    marks.append(time.time())
    parts = [marks[0] - started, *(b - a for a, b in pairwise(marks))]
    print(json.dumps([*parts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main(photo: str) -> None:
    rows, memory = [], []
    for run in range(RUNS + 1):
        started = time.time()
        out = subprocess.run(
            [sys.executable, __file__, "--inside", photo, str(started)], check=True, capture_output=True
        ).stdout
        *parts, peak = json.loads(out)
        started = time.time()
        subprocess.run([sys.executable, "-m", "arcage", "predict", photo], check=True, capture_output=True)
        if run:
            rows.append([*parts, time.time() - started])
            memory.append(peak)
    for name, column in zip(PARTS, zip(*rows, strict=True), strict=True):
        print(f"{name:<16} {statistics.median(column):6.3f} s")
    print(f"{'peak memory':<16} {max(memory):6.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], float(sys.argv[3]))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "examples/astronaut.jpg")
