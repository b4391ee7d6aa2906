"""Shared by the accuracy benchmarks: the faces, the split, and arcage's predictions.

UTKFace is split by content, as ``arcage fit --holdout`` does: an image is held out if the first 32 bits of
its SHA-256, as a fraction of 2^32, are below ``SHARE``. Copies stay on one side, every run makes the same
split, and an image counts whether or not a face is found in it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path

import numpy as np

from arcage.cache import Cache
from arcage.data.labels import Label, label_from_name, merge
from arcage.embedder.extractor import Extractor
from arcage.errors import HeadsError
from arcage.extraction.run import extract_images
from arcage.files import read_bytes, sha256_bytes
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.sources.source import Source
from arcage.sources.walk import walk
from arcage.training.overlap import fitted_on
from arcage.types import F32, U8

SHARE = 0.2
SETS = ("utkface", "lfw", "fairface")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Prediction of arcage or of a peer for the main face of an image; None without a face."""

    age: float | None = None
    female: bool | None = None


def run_arcage(*arguments: object) -> None:
    """Run an arcage command, with the arcage that this process imports (-P: not the current folder's)."""
    words = [str(a) for a in arguments]
    print("$ arcage", shlex.join(words), file=sys.stderr)
    subprocess.run([sys.executable, "-P", "-m", "arcage", *words], check=True, stdout=subprocess.DEVNULL)


def extract(data: Path, work: Path, augment: int = 0) -> None:
    """Extract the descriptors of all three sets into caches under ``work``; existing ones are kept."""
    for name in SETS:
        variants = ["--augment", augment] if augment and name == "utkface" else []
        run_arcage("extract", data / name, "--cache", work / name, *variants)


def fit(work: Path, augment: int = 0) -> Heads:
    """Fit heads on the part of UTKFace that is not held out, in ``work/heads80``."""
    variants = ["--augment", augment] if augment else []
    run_arcage(
        "fit", "--cache", work / "utkface", "--labels", "utkface",
        "--holdout", SHARE, "--out", work / "heads80", *variants,
    )  # fmt: skip
    return load_heads(work / "heads80")


def fitted(work: Path, fingerprint: str) -> Heads | None:
    """Load the heads of an earlier :func:`fit`. Return None if they are missing, belong to another pipeline,
    or were fitted on the faces held out here."""
    try:
        heads = load_heads(work / "heads80")
        heads.check(fingerprint)
    except HeadsError:
        return None
    return None if fitted_on(heads, "utkface", SHARE) else heads


def bundled_augment() -> int:
    """Return the number of degraded variants per face that the bundled heads were fitted on."""
    training = load_heads().manifest.get("training")
    return int(training.get("variants", 0)) if isinstance(training, dict) else 0


def held_out_images(folder: Path) -> list[tuple[Source, Label]]:
    """Return the held-out images of UTKFace with their labels, each content once, sorted by SHA-256.

    Copies with contradictory labels are left out.
    """
    labels: dict[str, list[Label]] = defaultdict(list)
    sources: dict[str, Source] = {}
    for source in walk([folder]):
        if (label := label_from_name("utkface", source.name)) is not None:
            sha256 = sha256_bytes(read_bytes(source.path))
            labels[sha256].append(label)
            sources.setdefault(sha256, source)
    chosen = [(sources[s], merge(labels[s])) for s in sorted(labels) if int(s[:8], 16) / 2**32 < SHARE]
    return [(source, label) for source, label in chosen if label is not None]


def described(
    pictures: Sequence[U8], labels: Sequence[Label], make: Callable[[U8], bytes], extractor: Extractor
) -> tuple[F32, F32, F32]:
    """Return descriptors, ages and genders of the main faces of the images that ``make`` encodes, without the
    images in which no face is found."""
    descriptors, found = [], []

    def encoded() -> Iterator[tuple[int, Callable[[], bytes]]]:
        for i, picture in enumerate(pictures):
            yield i, lambda picture=picture: make(picture)

    with closing(extractor.stream(encoded())) as results:
        for i, image in results:
            if image.faces:
                face = main_face([f.box.tolist() for f in image.faces], image.width, image.height)
                descriptors.append(image.descriptors[face])
                found.append(labels[i])
    age, gender = np.array([(label.age, label.gender) for label in found], np.float32).reshape(-1, 2).T
    return np.array(descriptors, np.float32).reshape(len(found), extractor.dimension), age, gender


def main_face(boxes: Sequence[Sequence[float]], width: float, height: float) -> int:
    """Return the index of the face that the label describes: large and central, as in ``arcage fit``."""

    def prominence(box: Sequence[float]) -> float:
        x1, y1, x2, y2 = box
        size = sqrt(max(x2 - x1, 0) * max(y2 - y1, 0))
        return size - hypot((x1 + x2 - width) / 2, (y1 + y2 - height) / 2)

    return max(range(len(boxes)), key=lambda i: prominence(boxes[i]))


def arcage_estimates(
    sources: Iterable[Source], extractor: Extractor, cache: Cache, heads: Heads
) -> dict[str, Estimate]:
    """Return arcage's prediction for the main face of each image, by path."""
    estimates = {}
    with closing(extract_images(sources, extractor, cache)) as results:
        for result in results:
            path, image = result.source.path, result.image
            estimates[path] = Estimate()
            if image.faces:
                face = main_face([f.box.tolist() for f in image.faces], image.width, image.height)
                p = heads.predict(image.descriptors[face : face + 1])
                estimates[path] = Estimate(float(p.age[0]), bool(p.p_female[0] >= 0.5))
    return estimates


def write_json(path: Path, report: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(f"written: {path}", file=sys.stderr)


def as_text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text, the first column aligned left and the others right."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def share(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.2f}"
