"""Measure how much of the accuracy comes from people on both sides of a split.

    python benchmarks/accuracy/identity.py --data ../shared/data --work /tmp/accuracy

UTKFace has no identities, so they are estimated with SFace embeddings. The threshold comes from LFW, whose
people are named: one pair of different people in a million exceeds it. UTKFace faces above the threshold are
joined, and heads are cross-fitted twice: on random folds, and on folds that keep joined faces together. Exact
copies count once in both. Faces younger than ``YOUNGEST`` are fitted on, but neither joined nor reported:
face recognition does not separate small children, and a chain of similar faces would become one person.

The embeddings are not part of a cache; computing them takes minutes. Requires the package onnx.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import protocol
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.embedder.align import align
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.evaluation.metrics import as_table, evaluate
from arcage.files import read_bytes
from arcage.heads.fit import fit_heads
from arcage.heads.settings import Settings
from arcage.images.decoder import decode
from arcage.types import F32, U8, Array, Labels

FALSE_ALARMS = 1e-6
YOUNGEST = 10
FOLDS = 5
BLOCK = 2000
BATCH = 8


def crops(faces: LabelledFaces, folder: Path, cache: Cache) -> Iterator[U8]:
    """Yield the aligned faces in order, using the landmarks in the cache."""
    names = cache.names()
    files = dict(zip(names.sha256(), names.names, strict=True))
    landmarks = faces.table.landmarks[faces.rows]
    with ThreadPoolExecutor(2) as pool:
        images = pool.map(lambda sha256: decode(read_bytes(folder / files[sha256])), faces.sha256())
        for image, points in zip(images, landmarks, strict=True):
            yield from align([image], np.zeros(1, np.intp), points.reshape(1, 5, 2))


def embeddings(faces: LabelledFaces, folder: Path, cache: Cache) -> F32:
    """Return SFace embeddings, shape (n, 128), of unit length, averaged over face and mirror image."""
    model = onnx.load(BUNDLED_FOLDER / "sface.onnx")
    name = next(node for node in model.graph.node if node.output[0] == "arcage_levels").input[-1]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    network = OpenVinoEngine().load(model.SerializeToString(), (-1, 112, 112, 3))
    batch: list[U8] = []
    found = []

    def embed() -> None:
        both = network(np.stack(batch))[name]
        found.append(both[: len(batch)] + both[len(batch) :])
        batch.clear()

    for crop in crops(faces, folder, cache):
        batch.append(crop)
        if len(batch) == BATCH:
            embed()
    if batch:
        embed()
    z = np.concatenate(found)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def threshold(z: F32, person: Array) -> tuple[float, float, int]:
    """Return the cosine threshold, the share of same-person pairs above it, and the number of other pairs."""
    upper = np.triu_indices(len(z), 1)
    cosine, same = (z @ z.T)[upper], (person[:, None] == person)[upper]
    found = float(np.quantile(cosine[~same], 1 - FALSE_ALARMS))
    return found, float((cosine[same] > found).mean()), int((~same).sum())


def join(z: F32, least: float) -> Array:
    """Return a group number per face: connected components of pairs with a cosine above ``least``."""
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
    parser.add_argument("--work", type=Path, required=True, help="folder for the caches")
    parser.add_argument("--out", type=Path, help="folder for identity.json; default WORK/results")
    args = parser.parse_args()
    protocol.extract(args.data, args.work)
    caches = {name: Cache(args.work / name, Extractor().fingerprint) for name in ("lfw", "utkface")}

    faces = labelled_faces(caches["lfw"], str(args.data / "lfw.csv"))
    least, found, pairs = threshold(embeddings(faces, args.data / "lfw", caches["lfw"]), faces.person)
    print(
        f"LFW, {len(faces):,} faces: the threshold {least:.3f} is exceeded by 1 in {1 / FALSE_ALARMS:,.0f} of"
    )
    print(f"{pairs:,} pairs of different people, and by {found:.1%} of the pairs of one person")

    faces = labelled_faces(caches["utkface"], "utkface")
    old = np.flatnonzero(faces.age >= YOUNGEST)
    joined = join(
        embeddings(faces.select(faces.age >= YOUNGEST), args.data / "utkface", caches["utkface"]), least
    )
    sizes = np.bincount(joined)
    together = int(sizes[sizes > 1].sum())
    print(f"UTKFace: of {len(old):,} faces aged {YOUNGEST} and older, {together:,} are joined")
    print(f"into {(sizes > 1).sum():,} groups, the largest of {sizes.max():,}")
    group = len(sizes) + np.arange(len(faces))
    group[old] = joined

    report = {
        "cosine": least,
        "found": found,
        "faces": len(old),
        "joined": together,
        "groups": int((sizes > 1).sum()),
        "largest": int(sizes.max()),
    }
    x = faces.descriptors()
    # With groups of one face each, the same splitter makes random folds.
    for name, groups in (("random folds", np.arange(len(x))), ("folds by identity", group)):
        settings = Settings(folds=FOLDS)
        labels = Labels(faces.age, faces.gender, person=groups)
        _, out_of_fold = fit_heads(x, labels, fingerprint="", settings=settings)
        report[name] = evaluate(out_of_fold.select(old), Labels(faces.age[old], faces.gender[old]))
        print(f"\n{name}, {FOLDS} of them\n{as_table(report[name])}")
    protocol.write_json((args.out or args.work / "results") / "identity.json", report)


if __name__ == "__main__":
    main()
