"""Heads: damaged files, also packed into one; arrays and manifests of other forms with the right SHA-256."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from arcage.heads.model import Predictions
from arcage.heads.packed import packed_bytes
from arcage.heads.store import ARRAYS, CARD, IMAGES, MANIFEST, digests, fitted_images, load_heads, save_heads
from arcage.training.manifest import section
from arcage.training.overlap import fitted_on
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

PACKED = "heads.arcage"
_STORED = Path(__file__).parents[3] / "tests" / "stored" / "heads"
_VALUES = [
    *(None, True, "", "x" * 1000, "\0", "\ud800", [], {}, [[]], {"a": {}}, 0, -1, 1, 4.0, 1e308, -1e308),
    *(2**31, 2**63 - 1, 2**63, 10**400, [None], ["a"], [1, 2], "../x", "/dev/zero", "heads.npz", "a" * 64),
]
_DTYPES = [*("u1", "i1", "i4", "i8", "u8", "f2", "f4", "f8", ">f4", "c8", "?", "U3", "S3", "M8[s]", "O")]
_NUMBERS = [0, 1, -1, np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 1e-45, 2**31 - 1, -(2**31), 65504, 100_000]


class Heads:
    """One of five stored heads, with one of their files or arrays changed."""

    name = "heads"

    def prepare(self, folder: Path) -> None:
        self._folder = folder / "case"
        self._seeds: list[dict[str, bytes]] = []
        self._answers: list[list[np.ndarray[Any, Any]]] = []
        images = digests(np.array([bytes([n] * 32) for n in range(1, 200)], "S32"))
        for number, stored in enumerate(sorted(_STORED.iterdir())):
            heads = load_heads(stored)
            place = folder / str(number)
            shutil.copytree(stored, place)
            save_heads(heads, place, "card", images)
            self._seeds.append({name: (place / name).read_bytes() for name in (MANIFEST, ARRAYS, IMAGES)})
            self._answers.append(_values(load_heads(place).predict(_faces(heads.dimension))))

    def case(self, rng: np.random.Generator) -> Case:
        number = int(rng.integers(len(self._seeds)))
        files = {**self._seeds[number], CARD: b""}
        way = int(rng.integers(6))
        if way == 0:
            name = [MANIFEST, ARRAYS, IMAGES][int(rng.integers(3))]
            files[name] = mutate(rng, files[name])
        elif way == 1:
            name = [ARRAYS, IMAGES][int(rng.integers(2))]
            _replace(files, name, mutate(rng, files[name]))
        elif way == 5:
            files = {PACKED: mutate(rng, packed_bytes(files))}
        elif way == 2:
            files[MANIFEST] = _change_value(rng, files[MANIFEST])
        else:
            _replace(files, ARRAYS, _change_array(rng, files[ARRAYS]))
        # Other arrays with the right checksum are other heads.
        return Case(
            files=files, about=f"heads {number}, way {way}", truth=number if way in (0, 1, 2, 5) else None
        )

    def run(self, case: Case) -> Verdict:
        folder = case.write(self._folder)
        heads = load_heads(folder / PACKED if PACKED in case.files else folder)
        answers = _values(heads.predict(_faces(heads.dimension)))
        fitted_images(heads)
        fitted_on(heads, "utkface", 0.1)
        section(heads, "training")
        if case.truth is not None:
            for found, expected in zip(answers, self._answers[case.truth], strict=True):
                if not np.array_equal(found, expected, equal_nan=True):
                    raise SilentChange(f"{found} instead of {expected}")
        age, low, high, p_female = answers
        if heads.age is not None and not ((low >= 0) & (low <= age) & (age <= high) & (high <= 120)).all():
            raise SilentChange(f"ages {age} in {low} to {high}")
        if heads.gender is not None and not ((p_female >= 0) & (p_female <= 1)).all():
            raise SilentChange(f"probabilities {p_female}")
        return "answered"


def _faces(dimension: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((4, dimension)).astype(np.float32)


def _values(predictions: Predictions) -> list[np.ndarray[Any, Any]]:
    return [predictions.age, predictions.age_low, predictions.age_high, predictions.p_female]


def _replace(files: dict[str, bytes], name: str, data: bytes) -> None:
    """Replace a file, and its SHA-256 in the manifest."""
    old, new = (hashlib.sha256(content).hexdigest().encode() for content in (files[name], data))
    files[name] = data
    files[MANIFEST] = files[MANIFEST].replace(old, new)


def _change_value(rng: np.random.Generator, data: bytes) -> bytes:
    """Replace one value of the manifest, or remove it."""
    manifest = json.loads(data)
    place, key = manifest, list(manifest)[int(rng.integers(len(manifest)))]
    while isinstance(place[key], dict) and place[key] and rng.integers(3):
        place = place[key]
        key = list(place)[int(rng.integers(len(place)))]
    if rng.integers(5):
        place[key] = _VALUES[int(rng.integers(len(_VALUES)))]
    else:
        del place[key]
    return json.dumps(manifest).encode()


def _change_array(rng: np.random.Generator, data: bytes) -> bytes:
    """Change one or two arrays in their type, shape or numbers."""
    with np.load(io.BytesIO(data)) as loaded:
        arrays = dict(loaded)
    for _ in range(int(rng.integers(1, 3))):
        name = list(arrays)[int(rng.integers(len(arrays)))]
        with np.errstate(all="ignore"):
            changed = _changed(rng, arrays[name])
        way = int(rng.integers(12))
        if way == 0:
            del arrays[name]
        elif way == 1:
            arrays[list(arrays)[int(rng.integers(len(arrays)))]] = arrays[name]
        elif way == 2:
            arrays[f"{name[:-1]}x"] = arrays.pop(name)
        else:
            arrays[name] = changed
    out = io.BytesIO()
    (np.savez if rng.integers(2) else np.savez_compressed)(out, **arrays)
    return out.getvalue()


def _changed(rng: np.random.Generator, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    way = int(rng.integers(6))
    if way == 0:
        return array.astype(_DTYPES[int(rng.integers(len(_DTYPES)))])
    if way == 1:
        shapes = [(), (0,), (1,), (3, 0), array.shape[::-1], (*array.shape, 1), (1, *array.shape)]
        shape = shapes[int(rng.integers(len(shapes)))]
        return np.resize(array, shape) if array.size else np.zeros(shape, array.dtype)
    if way == 2:
        return np.resize(array, 3 * array.size + 1) if array.size else array[None]
    if way == 3 and array.ndim:
        return array[int(rng.integers(2)) :: int(rng.choice([1, 2, -1]))]
    changed = array.astype(np.float64)
    if changed.size:
        count = int(rng.integers(1, changed.size + 1)) if rng.integers(2) else 1
        changed.flat[rng.integers(changed.size, size=count)] = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    return changed.astype(array.dtype)
