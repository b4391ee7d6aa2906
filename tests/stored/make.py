"""Make the caches and heads in this folder, with the code of commit c9bf8a1: made once, then only read.

::

    git worktree add ../before c9bf8a1
    PYTHONPATH=../before OMP_NUM_THREADS=1 python tests/stored/make.py

What that commit read from them, and what the heads predicted, is in ``expected.npz`` and ``expected.json``.
``tests/test_stored.py`` opens copies of them with today's code. After a stored format changes, add a folder
with what the new code writes beside this one, and keep this one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from arcage.distributed import CachedExtraction, as_columns
from arcage.embedder.extract import Extractor
from arcage.heads.stage import KernelSettings
from threadpoolctl import threadpool_info

from arcage.cache import Cache, ShardWriter
from arcage.data.labelled import labelled_faces
from arcage.extraction import extract, in_shard, open_cache
from arcage.heads.boosting import Boosting
from arcage.heads.fit import Settings, versions
from arcage.heads.store import load_heads
from arcage.sources import walk
from arcage.training import adapt_labelled, evaluate_labelled, fit_labelled, only
from arcage.types import Face, ImageFaces

HERE = Path(__file__).parent
ASTRONAUT = HERE.parents[1] / "examples" / "astronaut.jpg"
FINGERPRINT, DIMENSION, FACES = "made-up", 12, 150
PACK = SimpleNamespace(name="made up", models=(), research_only=False)
SMALL = {
    "kernel": KernelSettings(landmarks=24, context_columns=4),
    "age": Boosting(rounds=8, leaves=5),
    "quantiles": Boosting(rounds=8, leaves=5),
    "gender": Boosting(rounds=8, leaves=5),
    "context_columns": 4,
    "folds": 5,
}


def main() -> None:
    for name in ("made-up", "photos", "heads"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {"versions": versions(), "blas": blas()}

    made_up = HERE / "made-up"
    for shift, fingerprint in ((0.0, FINGERPRINT), (0.25, f"{FINGERPRINT}-1")):
        write_made_up(made_up, fingerprint, shift)
    facts["made-up"] = content(Cache(made_up, FINGERPRINT), arrays, "made-up")
    fit_all(made_up, HERE / "heads")
    x = Cache(made_up, FINGERPRINT).table().descriptors(dtype=np.float32)
    for folder in sorted((HERE / "heads").iterdir()):
        heads = load_heads(folder)
        for rows, label in ((x, "all"), (x[:1], "one")):
            answers = heads.predict(rows)
            for field in fields(answers):
                arrays[f"heads/{folder.name}/{label}/{field.name}"] = getattr(answers, field.name)
    labelled = labelled_faces(Cache(made_up, FINGERPRINT), "utkface")
    facts["evaluation"] = evaluate_labelled(load_heads(HERE / "heads" / "adapted"), labelled)

    photos = HERE / "photos"
    cache = extract_photos(photos)
    facts["photos"] = content(cache, arrays, "photos")
    answers = load_heads().predict(cache.table().descriptors(dtype=np.float32))
    for field in fields(answers):
        arrays[f"photos/bundled/{field.name}"] = getattr(answers, field.name)

    np.savez_compressed(HERE / "expected.npz", **arrays)
    (HERE / "expected.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")


def blas() -> list[str]:
    """Return NumPy's matrix library and the processor it runs for: both decide over the last bits."""
    own = next(library for library in threadpool_info() if "numpy" in library["filepath"])
    return [own[key] for key in ("internal_api", "version", "architecture")]


def write_made_up(directory: Path, fingerprint: str, shift: float) -> None:
    """Write labelled faces in three shards, with copies, two faces, no face and an unreadable image."""
    rng = np.random.default_rng(19)
    age, gender = rng.integers(1, 90, FACES), rng.integers(0, 2, FACES)
    x = rng.normal(size=(FACES, DIMENSION)).round(2)
    x[:, 1] += np.sqrt(age)
    x[:, 2] += 2 * gender
    x += shift
    cache = Cache(directory, fingerprint, dimension=DIMENSION, pipeline={"made": "up", "größe": [1, 2.5]})
    with ShardWriter(cache, images_per_shard=70) as writer:
        for n in range(FACES):
            name = f"album {n % 3}/{age[n]}_{gender[n]}_{n % 4}_{n:014d}.jpg"
            writer.add(one(f"face {n}", x[n : n + 1]), name)
        writer.add(one("face 0", x[:1]), f"copy/{age[0]}_{gender[0]}_0_{0:014d}.jpg")
        writer.add(one("two faces", x[:2]), "30_1_0_00000000009001.jpg")
        writer.add(one("nobody", x[:0]), "été/31_1_0_00000000009002.jpg")
        writer.add(one("broken", x[:0], "truncated JPEG"), "32_1_0_00000000009003.jpg")
        writer.add(one("unlabelled", x[:1]), "holiday.jpg")


def one(text: str, descriptors: Any, error: str = "") -> ImageFaces:
    faces = tuple(
        Face(
            np.array([10, 20, 60.5, 90.25], np.float32) + 100 * n,
            np.arange(10, dtype=np.float32).reshape(5, 2) + 7 * n,
            0.875 - n / 8,
        )
        for n in range(len(descriptors))
    )
    status = "unreadable" if error else "ok" if faces else "no_face"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return ImageFaces(sha256, 640, 480, status, error, faces, np.asarray(descriptors, np.float16))


def content(cache: Cache, arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Keep all that a reader sees of a cache."""
    table, names = cache.table(), cache.names()
    for field in fields(table):
        if isinstance(column := getattr(table, field.name), np.ndarray):
            arrays[f"{prefix}/table/{field.name}"] = column.astype("U") if column.dtype == object else column
    arrays[f"{prefix}/descriptors"] = table.descriptors()
    arrays[f"{prefix}/names"] = names.names.astype("U")
    arrays[f"{prefix}/names of"] = names.keys
    return {
        "fingerprint": cache.fingerprint,
        "dimension": cache.dimension,
        "pipeline": dict(cache.pipeline),
        "images": len(cache),
        "damaged": [str(bad) for bad in cache.verify()],
    }


def fit_all(directory: Path, out: Path) -> None:
    """Fit heads of each kind, of both attributes and of one, and adapt some."""
    cache, degraded = Cache(directory, FINGERPRINT), Cache(directory, f"{FINGERPRINT}-1").table()
    faces = labelled_faces(cache, "utkface")
    common: dict[str, Any] = {"pack": PACK, "fingerprint": FINGERPRINT, "labels": "utkface"}
    small = Settings(**SMALL)
    fit_labelled(faces, out=out / "boosted", settings=small, holdout=0.2, variants=[degraded], **common)
    fit_labelled(only(faces, "age"), out=out / "age", settings=small, **common)
    fit_labelled(faces, out=out / "linear", settings=Settings(kind="linear", folds=5), **common)
    # Its 400 to 600 trees a head are not a setting.
    trees = Settings(kind="lightgbm", folds=5)
    fit_labelled(only(faces, "gender"), out=out / "lightgbm", settings=trees, **common)
    adapt_labelled(
        labelled_faces(Cache(directory, f"{FINGERPRINT}-1"), "utkface"),
        base=load_heads(out / "boosted"),
        called="boosted",
        pack=PACK,
        labels="elsewhere",
        out=out / "adapted",
        forget=2,
    )
    for path in out.glob("*/*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("manifest.json", "heads.npz"):
            path.unlink()  # only people read the others


def extract_photos(directory: Path) -> Cache:
    """Extract real pictures in two parts, the second as a worker of Ray does."""
    folder = directory / "images"
    folder.mkdir(parents=True)
    shutil.copy(ASTRONAUT, folder / "astronaut.jpg")
    cv2.imwrite(str(folder / "grey.png"), np.full((48, 64), 128, np.uint8))
    (folder / "text.jpg").write_bytes(b"not an image")
    extractor = Extractor()
    cache = open_cache(directory, extractor)
    sources = list(walk([folder]))
    first, second = ([s for s in sources if in_shard(s, (number, 2))] for number in (1, 2))
    assert first, "choose other names"
    assert second, "choose other names"
    extract(first, cache, extractor)
    columns = as_columns(second)
    CachedExtraction(extractor, directory)({key: np.array(values, object) for key, values in columns.items()})
    shutil.rmtree(folder)
    cache.refresh()
    return cache


if __name__ == "__main__":
    main()
