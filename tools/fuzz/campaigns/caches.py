"""Caches with a damaged, swapped or missing file, and headers of ``.npy`` files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import xxhash

from arcage.cache import Cache, ShardWriter
from arcage.cache.marker import CHECKSUM, FAST_DIGEST, sealed
from arcage.readers.npy import parse_npy
from arcage.types import Face, ImageFaces
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate, mutate_footer

FINGERPRINT, DIMENSION, IMAGES = "f", 16, 12
_OLD = 3600.0
"""Age of the files, seconds: no writer is running."""


class CacheFiles:
    """Each answer of a cache is right, or the cache says what is damaged."""

    name = "cache"

    def prepare(self, folder: Path) -> None:
        self.work = folder / "work"
        self.truth = {image.sha256: image for image in map(_image, range(IMAGES))}
        cache = Cache(folder / "cache", FINGERPRINT, dimension=DIMENSION, pipeline={"pack": "compact"})
        for part in range(2):
            with ShardWriter(cache) as writer:
                for number, image in enumerate(self.truth.values()):
                    if number % 2 == part:
                        writer.add(image, f"{number}.jpg")
        self.names = dict(zip(cache.names().names.tolist(), cache.names().sha256(), strict=True))
        root = folder / "cache"
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        # Names contain the time, and a case must not depend on it.
        parts = sorted({path.stem for path in paths if path.suffix == ".done"})
        stable = {
            part: f"2026010100000000{i:04d}-{i:012x}".replace("20260101", "20260101T", 1)
            for i, part in enumerate(parts)
        }
        self.files = {}
        for path in paths:
            name = path.relative_to(root).as_posix()
            for part, other in stable.items():
                name = name.replace(part, other)
            self.files[name] = path.read_bytes()

    def case(self, rng: np.random.Generator) -> Case:
        files = dict(self.files)
        names = sorted(files)
        chosen = names[int(rng.integers(len(names)))]
        kind = int(rng.integers(12))
        if kind > 9:
            return self._other_parquet(rng)
        if kind == 0:
            del files[chosen]
            return Case(files=files, about=f"without {chosen}")
        if kind == 1:
            alike = [name for name in names if Path(name).suffix == Path(chosen).suffix]
            other = alike[int(rng.integers(len(alike)))]
            files[chosen], files[other] = files[other], files[chosen]
            return Case(files=files, about=f"{chosen} and {other} swapped")
        others = [content for name, content in files.items() if name != chosen]
        files[chosen] = mutate(rng, files[chosen], others)
        return Case(files=files, about=f"{chosen} damaged")

    def _other_parquet(self, rng: np.random.Generator) -> Case:
        """Return a hostile cache: damaged Parquet with right checksums, which may answer anything."""
        files = dict(self.files)
        names = sorted(name for name in files if name.endswith(".parquet"))
        chosen = names[int(rng.integers(len(names)))]
        damage = mutate_footer if rng.integers(2) else mutate
        data = files[chosen] = damage(rng, files[chosen])
        marker = chosen.removesuffix("parquet") + "done"
        facts = json.loads(files[marker])
        del facts[CHECKSUM]
        facts["files"]["parquet"] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            FAST_DIGEST: xxhash.xxh3_128_hexdigest(data),
        }
        files[marker] = json.dumps(sealed(facts)).encode()
        return Case(files=files, about=f"{chosen} damaged, with right checksums", truth="hostile")

    def run(self, case: Case) -> Verdict:
        folder = case.write(self.work)
        for path in folder.rglob("*"):
            os.utime(path, (time.time() - _OLD,) * 2)
        if case.truth == "hostile":
            return _use(folder)
        cache = Cache(folder, FINGERPRINT)
        found = {sha256: image for sha256 in self.truth if (image := cache.get(sha256)) is not None}
        for sha256, image in found.items():
            if not _equal(image, self.truth[sha256]):
                raise SilentChange(f"{case.about}: another result for {sha256[:8]}")
        again = Cache(folder, FINGERPRINT)
        names = again.names()
        listed = dict(zip(names.names.tolist(), names.sha256(), strict=True))
        if not listed.items() <= self.names.items():
            raise SilentChange(f"{case.about}: other names")
        table = again.table()
        descriptors = table.descriptors()
        for row, sha256 in enumerate(table.sha256(table.face >= 0)):
            place = int(table.face[table.face >= 0][row])
            if not np.array_equal(descriptors[row], self.truth[sha256].descriptors[place]):
                raise SilentChange(f"{case.about}: another descriptor of {sha256[:8]}")
        missing = len(found) < len(self.truth)
        incomplete = missing or listed != self.names or len(np.unique(table.keys)) < len(self.truth)
        if (missing and not cache.damaged) or (incomplete and not again.damaged):
            raise SilentChange(f"{case.about}: images or names are missing, and nothing is reported")
        return "refused" if incomplete else "answered"


def _use(folder: Path) -> Verdict:
    """Use everything in a cache."""
    cache = Cache(folder, FINGERPRINT)
    for sha256 in cache.names().sha256():
        cache.get(sha256)
    table = cache.table()
    table.descriptors()
    return "refused" if cache.damaged or Cache(folder, FINGERPRINT).verify() else "answered"


class NpyHeaders:
    """A ``.npy`` file is read as NumPy would read it, or refused."""

    name = "npy"

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.seeds = [
            _npy(rng.integers(0, 100, shape).astype(dtype))
            for dtype in ("f2", "f4", "f8", "u1", "i8")
            for shape in ((), (3,), (4, 16), (2, 3, 4))
        ]

    def case(self, rng: np.random.Generator) -> Case:
        seed = self.seeds[int(rng.integers(len(self.seeds)))]
        offset = 10 + int.from_bytes(seed[8:10], "little")
        return Case(mutate(rng, seed[:offset], [s[:128] for s in self.seeds]) + seed[offset:], truth=seed)

    def run(self, case: Case) -> Verdict:
        try:
            array = parse_npy(case.data)
        except ValueError:
            return "refused"
        # What was accepted is what NumPy reads from the same bytes.
        expected = np.load(io.BytesIO(case.data), allow_pickle=False)
        if array.dtype != expected.dtype or not np.array_equal(array, expected, equal_nan=True):
            raise SilentChange("another array than NumPy reads")
        return "answered"


def _image(number: int) -> ImageFaces:
    rng = np.random.default_rng(number)
    faces = number % 3
    return ImageFaces(
        sha256=hashlib.sha256(b"%d" % number).hexdigest(),
        width=640,
        height=480 + number,
        status="ok" if faces else "unreadable" if number % 2 else "no_face",
        error="" if faces or number % 2 == 0 else "damaged JPEG image",
        faces=tuple(
            Face(
                rng.uniform(0, 400, 4).astype(np.float32),
                rng.uniform(0, 400, (5, 2)).astype(np.float32),
                float(np.float32(rng.random())),
            )
            for _ in range(faces)
        ),
        descriptors=rng.standard_normal((faces, DIMENSION)).astype(np.float16),
        min_face=40,
    )


def _equal(one: ImageFaces, other: ImageFaces) -> bool:
    fields = ("sha256", "width", "height", "status", "error", "min_face")
    return (
        all(getattr(one, name) == getattr(other, name) for name in fields)
        and [face.score for face in one.faces] == [face.score for face in other.faces]
        and all(
            np.array_equal(a.box, b.box) and np.array_equal(a.landmarks, b.landmarks)
            for a, b in zip(one.faces, other.faces, strict=True)
        )
        and np.array_equal(one.descriptors, other.descriptors)
    )


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
