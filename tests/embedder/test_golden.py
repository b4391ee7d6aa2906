"""Golden numbers of the bundled models: one photo gives the same numbers on every machine and version.

After the models have been rebuilt, ``python tests/embedder/test_golden.py --write`` writes new numbers to
tests/golden.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectors import align_one

from arcage.embedder.extractor import Extractor
from arcage.images.decoder import decode
from arcage.types import Face

GOLDEN = Path(__file__).parents[1].joinpath("golden.json")
PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"

golden: dict[str, Any] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


def find_face(extractor: Extractor) -> Face:
    (face,) = extractor.extract(PHOTO.read_bytes()).faces
    return face


def first_columns(extractor: Extractor, landmarks: list[list[float]]) -> dict[str, list[float]]:
    """Return the first 8 columns of each embedder's descriptor of the aligned face."""
    crop = align_one(decode(PHOTO.read_bytes()), np.array(landmarks, np.float32))
    descriptor = extractor.networks.embed(crop[None])[0].astype(float)
    widths = [model.dimension or 0 for model in extractor.pack.embedders]
    starts = np.cumsum([0, *widths[:-1]])
    names = [model.name for model in extractor.pack.embedders]
    return {name: descriptor[i : i + 8].round(4).tolist() for name, i in zip(names, starts, strict=True)}


def test_the_detector_finds_the_same_face(extractor: Extractor) -> None:
    face = find_face(extractor)
    np.testing.assert_allclose(face.box, golden["box"], atol=0.25)
    np.testing.assert_allclose(face.landmarks, golden["landmarks"], atol=0.25)
    assert face.score == pytest.approx(golden["score"], abs=0.005)


def test_each_embedder_gives_the_same_numbers(extractor: Extractor) -> None:
    # From the golden landmarks, so that the embedders are tested without the detector.
    found = first_columns(extractor, golden["landmarks"])
    assert found.keys() == golden["descriptors"].keys()
    for name, expected in golden["descriptors"].items():
        # Columns differ by several units between faces; JPEG decoders differ by a grey level in places,
        # and processors in the last bits.
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(found[name], expected, atol=0.01 * scale, err_msg=name)


def test_the_extractor_gives_the_same_numbers(extractor: Extractor) -> None:
    image = extractor.extract(PHOTO.read_bytes())
    start = 0
    for model in extractor.pack.embedders:
        expected = golden["descriptors"][model.name]
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(image.descriptors[0, start : start + 8], expected, atol=0.05 * scale)
        start += model.dimension or 0


def test_the_numbers_belong_to_these_models(extractor: Extractor) -> None:
    assert golden["fingerprint"] == extractor.fingerprint, (
        "the models or the pipeline have changed: run python tests/embedder/test_golden.py --write, "
        "and fit the heads again"
    )


def write() -> None:
    extractor = Extractor(device="cpu", hint="latency", precision="float32")
    face = find_face(extractor)
    landmarks = face.landmarks.round(3).astype(float).round(3).tolist()
    numbers = {
        "fingerprint": extractor.fingerprint,
        "box": face.box.astype(float).round(3).tolist(),
        "landmarks": landmarks,
        "score": round(face.score, 5),
        "descriptors": first_columns(extractor, landmarks),
    }
    GOLDEN.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
