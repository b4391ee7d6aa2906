"""Labelled faces and heads for reports, and the report on them."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from caches import FINGERPRINT, image, write
from pages import Page, picture

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.evaluation.assurance import age_assurance
from arcage.evaluation.metrics import evaluate
from arcage.heads.model import Heads, Predictions
from arcage.report.evaluation_report import HTML, Evaluation, write_report
from arcage.report.prepare import prepare

HOSTILE = "<script>alert('&\")</script>.jpg"
GROUPS = ("<b>bold</b>", "plain", "")
MANIFEST = {
    "settings": {"kind": "boosted", "seed": 3},
    "pack": "compact",
    "models": ["one", "two"],
    "training": {"labels": "<i>mine</i>", "faces": 1234, "ages": [1.0, 80.0], "held_out_share": 0.2},
    "versions": {"arcage": "0.1.0"},
    "arrays": {"sha256": "ab" * 32},
}
HEADS = Heads(FINGERPRINT, 2, None, None, MANIFEST)


def make(folder: Path, n: int = 60) -> tuple[LabelledFaces, Cache]:
    """Return labelled faces of ``n`` pictures in ``folder``/photos; the first has a hostile name."""
    rng = np.random.default_rng(0)
    photos = folder / "photos"
    (photos / "sub").mkdir(parents=True)
    # File names may contain all of this except the slash.
    names = [HOSTILE.replace("/", ":"), *(f"sub/{number}.jpg" for number in range(1, n))]
    lines, images = ["path,age,gender,group"], []
    for number, name in enumerate(names):
        data = picture(number)
        (photos / name).write_bytes(data)
        quoted = name.replace('"', '""')
        lines.append(f'"{quoted}",{rng.integers(1, 90)},{"mf"[number % 2]},{GROUPS[number % 3]}')
        images.append((name, image(data)))
    cache = write(folder / "cache", images)
    (folder / "labels.csv").write_text("\n".join(lines))
    return labelled_faces(cache, str(folder / "labels.csv")), cache


def answer(faces: LabelledFaces) -> Predictions:
    """Return predictions: the first age is 70 years off, the others less; every fifth gender is wrong."""
    n = len(faces)
    error = np.linspace(70, -5, n).astype(np.float32)
    guess = np.nan_to_num(faces.age, nan=30) + error
    wrong = np.arange(n) % 5 == 0
    sure = np.linspace(0.95, 0.6, n).astype(np.float32)
    female = (faces.gender == 1) ^ wrong
    p_female = np.where(female, sure, 1 - sure).astype(np.float32)
    familiarity = np.geomspace(1e-6, 1, n).astype(np.float32)
    return Predictions(guess, guess - 8, guess + 8, p_female, familiarity=familiarity)


def report_on(
    folder: Path, faces: LabelledFaces, answers: Predictions, **options: Any
) -> tuple[dict[str, Any], Page]:
    images, labels = asdict(faces.counts), replace(faces.labels(), source=None)
    report = {
        "images": images,
        **evaluate(answers, labels),
        "age_assurance": age_assurance(answers, labels, images),
    }
    prepare(folder)
    images = options.pop("images", ())
    evaluation = Evaluation(report, answers, faces, HEADS, **{"labels": "labels.csv", **options})
    full = write_report(folder, evaluation, images=images)
    text = (folder / HTML).read_text("utf-8")
    assert "nan" not in re.sub(r"base64,[\w+/=]+", "", text).lower()
    return full, Page(text)


Made = tuple[LabelledFaces, dict[str, Any], Page, Path]


def make_worst_of(faces: LabelledFaces, name: str, folder: Path) -> Predictions:
    sha256 = image((folder / "photos" / name).read_bytes()).sha256
    answers = answer(faces)
    answers.age[faces.sha256().index(sha256)] = 500
    return answers
