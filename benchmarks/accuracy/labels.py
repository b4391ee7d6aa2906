"""Measure what `arcage data describe` finds: wrong labels, re-encoded images, and repeated people.

    python benchmarks/accuracy/labels.py --data ../shared/data --work /tmp/accuracy

Wrong labels: 2 % of the labels of UTKFace are replaced, ages by those of other faces, genders by the other
one. Re-encoded images: the cosine between 25 images and their changed copies. Repeated people: the cosines of
all pairs of LFW.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import protocol

from arcage.audit.duplicates import LOOK_ALIKE, NEAR_COPY, similar_pairs
from arcage.audit.label_errors import MAX_SHARE, find_label_errors, most_suspicious
from arcage.cache import Cache, CacheTable, Names
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.embedder.extractor import Extractor
from arcage.types import F32, U8

WRONG = 0.02
SEEDS = 5
EVERY = 700
SAVED: dict[str, tuple[Callable[[U8], U8], int]] = {
    "JPEG quality 85": (lambda image: image, 85),
    "JPEG quality 50": (lambda image: image, 50),
    "half the size": (lambda image: cv2.resize(image, None, fx=0.5, fy=0.5), 90),
    "border cut by 2 to 3 %": (lambda image: image[4:-6, 5:-3], 90),
    "mirrored": (lambda image: image[:, ::-1], 90),
    "brighter by 15 %": (lambda image: cv2.convertScaleAbs(image, alpha=1.15, beta=10), 90),
}


def planted(faces: LabelledFaces) -> dict[str, Any]:
    """Return the share of the wrong labels that is among the most suspicious ones."""
    found: dict[str, list[float]] = {"age": [], "gender": []}
    count = round(WRONG * len(faces))
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        wrong = {name: rng.permutation(len(faces))[:count] for name in found}
        age, gender = faces.age.copy(), faces.gender.copy()
        age[wrong["age"]] = rng.choice(faces.age, count)
        gender[wrong["gender"]] = 1 - gender[wrong["gender"]]
        errors = find_label_errors(replace(faces, age=age, gender=gender))
        found["age"].append(np.isin(wrong["age"], most_suspicious(errors.years_outside, -np.inf)).mean())
        found["gender"].append(np.isin(wrong["gender"], most_suspicious(errors.p_other, -np.inf)).mean())
    print(f"{count:,} wrong labels among {len(faces):,}, the {MAX_SHARE:.0%} most suspicious, {SEEDS} times:")
    for name, shares in found.items():
        print(f"  {name}: found {np.mean(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})")
    return {
        "faces": len(faces),
        "planted": count,
        "found": {k: list(map(float, v)) for k, v in found.items()},
    }


def saved_again(folder: Path, cache: Cache, fingerprint: str) -> dict[str, list[float]]:
    """Return the cosines between images and their changed copies, sorted, by kind of change."""
    originals = sorted(folder.iterdir())[::EVERY]
    with tempfile.TemporaryDirectory() as temporary:
        for kind, (change, quality) in SAVED.items():
            (Path(temporary, "photos", kind)).mkdir(parents=True)
            for original in originals:
                image = change(cv2.imread(str(original)))
                file = str(Path(temporary, "photos", kind, original.name))
                cv2.imwrite(file, image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        protocol.run_arcage("extract", Path(temporary, "photos"), "--cache", Path(temporary, "cache"))
        other = Cache(Path(temporary, "cache"), fingerprint)
        old, new = Lookup(cache.table(), cache.names()), Lookup(other.table(), other.names())
        cosines = {}
        for kind in SAVED:
            pairs = [(old(o.name), new(f"{kind}/{o.name}")) for o in originals]
            cosines[kind] = sorted(float(a @ b) for a, b in pairs if a is not None and b is not None)
    print(f"cosine between {len(originals)} images and their changed copies:")
    for kind, values in cosines.items():
        above = np.mean(np.array(values) >= NEAR_COPY)
        print(f"  {kind}: minimum {values[0]:.3f}, median {np.median(values):.3f}, {above:.0%} near copies")
    return cosines


class Lookup:
    """Look up the descriptor, of unit length, of an image's first face by file name."""

    def __init__(self, table: CacheTable, names: Names) -> None:
        self.table = table
        self.rows = dict(zip(names.names, table.find(names.keys).tolist(), strict=True))

    def __call__(self, name: str) -> F32 | None:
        row = self.rows.get(name, -1)
        if row < 0 or self.table.face[row] < 0:
            return None
        x: F32 = self.table.descriptors(np.array([row]), np.float32)[0]
        return x / np.linalg.norm(x)


def pairs_of_persons(faces: LabelledFaces) -> dict[str, Any]:
    """Count the pairs of one person, and of different people, above the thresholds."""
    pairs = similar_pairs(faces.descriptors(), LOOK_ALIKE)
    same = faces.person[pairs.first] == faces.person[pairs.second]
    sizes = np.unique(faces.person, return_counts=True)[1]
    of_one = int((sizes * (sizes - 1) // 2).sum())
    report = {"pairs of one person": of_one, "of two": len(faces) * (len(faces) - 1) // 2 - of_one}
    for limit in (LOOK_ALIKE, NEAR_COPY):
        above = pairs.cosine >= limit
        report[f"of one, {limit:g} or more"] = int((above & same).sum())
        report[f"of two, {limit:g} or more"] = int((above & ~same).sum())
    print("LFW: " + "; ".join(f"{name}: {count:,}" for name, count in report.items()))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the caches")
    parser.add_argument("--out", type=Path, help="folder for labels.json; default WORK/results")
    args = parser.parse_args()
    protocol.extract(args.data, args.work)
    fingerprint = Extractor().fingerprint
    caches = {name: Cache(args.work / name, fingerprint) for name in ("lfw", "utkface")}
    report = {
        "planted": planted(labelled_faces(caches["utkface"], "utkface")),
        "saved again": saved_again(args.data / "utkface", caches["utkface"], fingerprint),
        "lfw": pairs_of_persons(labelled_faces(caches["lfw"], str(args.data / "lfw.csv"))),
    }
    protocol.write_json((args.out or args.work / "results") / "labels.json", report)


if __name__ == "__main__":
    main()
