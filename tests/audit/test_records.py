"""Records of labelled faces for JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from caches import BOX, image, write

from arcage.audit.records import face_records, names_by_hash, picture_key
from arcage.data.join import labelled_faces
from arcage.heads.model import Predictions


def test_records(tmp_path: Path) -> None:
    cache = write(
        tmp_path / "cache",
        [("a.jpg", image("a")), ("copy/a.jpg", image("a")), ("b.jpg", image("b"))],
    )
    (tmp_path / "labels.csv").write_text("path,age,gender,group\na.jpg,20,f,one\nb.jpg,,m,\n")
    faces = labelled_faces(cache, str(tmp_path / "labels.csv"))
    hashes = faces.sha256()
    unknown = np.full(2, np.nan, np.float32)
    predictions = Predictions(np.array([30, np.nan], np.float32), unknown, unknown, unknown)
    row = hashes.index(image("a").sha256)
    predictions.age[row], predictions.age[1 - row] = 30, np.nan
    names = names_by_hash(cache.names(), hashes)
    assert names == {image("a").sha256: ["a.jpg", "copy/a.jpg"], image("b").sha256: ["b.jpg"]}
    a, b = face_records(np.array([row, 1 - row]), faces, predictions, names)
    assert json.loads(json.dumps([a, b], allow_nan=False)) == [a, b]
    assert a == {
        "sha256": image("a").sha256,
        "names": ["a.jpg", "copy/a.jpg"],
        "face": 0,
        "box": list(BOX),
        "label_age": 20,
        "age": 30,
        "age_low": None,
        "age_high": None,
        "label_gender": "female",
        "p_female": None,
        "group": "one",
        "thumbnail": False,
    }
    assert (b["label_age"], b["label_gender"], b["group"], b["age"]) == (None, "male", "", None)
    assert picture_key(a) == f"{image('a').sha256}.0"
    assert names_by_hash(None, hashes) == names_by_hash(cache.names(), []) == {}
