"""How much of the accuracy is owed to people who are on both sides of a split.

    python benchmarks/accuracy/identity.py --data ../shared/data --work /tmp/accuracy

UTKFace does not tell who is who. LFW does: on half of its persons the axes are learned on which descriptors
of one person agree (within-class covariance normalisation, Hatch et al., Interspeech 2006), on the other half
a cosine is found above which only one pair in 100,000 is of two persons. UTKFace's faces above it are
joined, and heads cross-fitted twice: on random folds, and on folds that keep joined faces together. Both ways
exact copies are counted once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import protocol
from scipy.linalg import eigh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from arcage.cache import Cache
from arcage.data.labelled import labelled_faces
from arcage.embedder.extract import Extractor
from arcage.heads.evaluate import as_table, evaluate
from arcage.heads.fit import Settings, fit_heads
from arcage.heads.model import Predictions
from arcage.types import F32, Array

FALSE_ALARMS = 1e-5
SHRINKAGE = 0.1
FOLDS = 5
BLOCK = 2000


def identity_axes(x: F32, person: Array) -> F32:
    """A map, shape (dimension, dimension), after which faces of one person vary alike on every axis."""
    names, index, counts = np.unique(person, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(index, weights=column, minlength=len(names)) for column in x.T], axis=1)
    rest = (x - (means / counts[:, None])[index])[counts[index] > 1]
    within = rest.T @ rest / len(rest)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    values, axes = eigh(within)
    return (axes / np.sqrt(values)).astype(np.float32)


def on_sphere(x: F32, mean: F32, axes: F32) -> F32:
    z = (x - mean) @ axes
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def threshold(z: F32, person: Array) -> tuple[float, float, int]:
    """The cosine, the share of pairs of one person above it, and how many pairs of two persons were seen."""
    upper = np.triu_indices(len(z), 1)
    cosine, same = (z @ z.T)[upper], (person[:, None] == person)[upper]
    found = float(np.quantile(cosine[~same], 1 - FALSE_ALARMS))
    return found, float((cosine[same] > found).mean()), int((~same).sum())


def join(z: F32, least: float) -> Array:
    """A number for each face, the same for faces that a chain of cosines above ``least`` connects."""
    rows, columns = [], []
    for start in range(0, len(z), BLOCK):
        i, j = np.nonzero(z[start : start + BLOCK] @ z.T > least)
        rows.append(i + start)
        columns.append(j)
    i, j = np.concatenate(rows), np.concatenate(columns)
    _, group = connected_components(coo_matrix((np.ones(len(i), bool), (i, j)), shape=(len(z), len(z))))
    return group


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="for caches")
    parser.add_argument("--out", type=Path, help="for identity.json; default WORK/results")
    args = parser.parse_args()
    protocol.extract(args.data, args.work)
    fingerprint = Extractor().fingerprint

    known = labelled_faces(Cache(args.work / "lfw", fingerprint), str(args.data / "lfw.csv"))
    x = known.descriptors()
    first = np.isin(known.person, np.unique(known.person)[::2])
    mean, axes = x[first].mean(axis=0), identity_axes(x[first], known.person[first])
    least, found, pairs = threshold(on_sphere(x[~first], mean, axes), known.person[~first])
    print(
        f"LFW, {(~first).sum():,} faces of persons not learned on: at a cosine of {least:.3f}, which one of"
    )
    print(
        f"{1 / FALSE_ALARMS:,.0f} of {pairs:,} pairs of two persons reaches, {found:.1%} of pairs of one do"
    )

    faces = labelled_faces(Cache(args.work / "utkface", fingerprint), "utkface")
    x = faces.descriptors()
    group = join(on_sphere(x, x.mean(axis=0), axes), least)
    sizes = np.bincount(group)
    joined = int(sizes[sizes > 1].sum())
    print(
        f"UTKFace: of {len(x):,} faces {joined:,} are joined into {(sizes > 1).sum():,} groups, the largest"
    )
    print(f"of {sizes.max():,}")

    report = {
        "cosine": least,
        "found": found,
        "faces": len(x),
        "joined": joined,
        "groups": int((sizes > 1).sum()),
        "largest": int(sizes.max()),
    }
    for name, groups in (("random folds", None), ("folds by identity", group)):
        settings = Settings(folds=FOLDS)
        _, seen = fit_heads(x, faces.age, faces.gender, fingerprint="", settings=settings, groups=groups)
        answers = Predictions(seen.age, seen.age_low, seen.age_high, seen.p_female)
        report[name] = evaluate(answers, faces.age, faces.gender)
        print(f"\n{name}, {FOLDS} of them, all {len(x):,} faces cross-fitted\n{as_table(report[name])}")
    protocol.write_json((args.out or args.work / "results") / "identity.json", report)


if __name__ == "__main__":
    main()
