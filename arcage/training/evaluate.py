"""Evaluate and compare heads on labelled faces."""

from __future__ import annotations

from typing import Any

from arcage.data.labelled import LabelledFaces
from arcage.evaluation.comparison import compare
from arcage.evaluation.metrics import evaluate
from arcage.heads.model import Heads, Predictions


def predict_labelled(heads: Heads, faces: LabelledFaces) -> Predictions:
    """Return the heads' predictions for labelled faces, in their order."""
    return heads.predict(faces.table.descriptors(faces.rows))


def evaluate_labelled(heads: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """Evaluate heads on labelled faces, and return a report as :func:`arcage.evaluation.metrics.evaluate`."""
    return evaluate(predict_labelled(heads, faces), faces.labels())


def compare_labelled(a: Heads, b: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """Compare two heads on labelled faces, as :func:`arcage.evaluation.comparison.compare` does."""
    x = faces.table.descriptors(faces.rows)
    return compare(a.predict(x), b.predict(x), faces.labels())
