"""Score age bins and gender on photos with FairFace labels: path, age_bin, gender.

arcage predict FOLDER --faces center --out predictions.csv
python benchmarks/accuracy/fairface.py predictions.csv LABELS.csv
"""

from __future__ import annotations

import csv
import sys
from bisect import bisect
from collections.abc import Mapping
from pathlib import Path, PurePath

BINS = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"]
EDGES = [2.5, 9.5, 19.5, 29.5, 39.5, 49.5, 59.5, 69.5]

Truth = dict[str, tuple[str, str]]
"""Age bin and gender, by file name."""


def read_truth(labels: str | Path) -> Truth:
    """Read the labels from a CSV file."""
    with open(labels, encoding="utf-8", newline="") as file:
        return {row["path"]: (row["age_bin"], row["gender"]) for row in csv.DictReader(file)}


def score(truth: Truth, predictions: Mapping[str, tuple[float, str]]) -> dict[str, int | float | None]:
    """Return accuracies over the photos with a prediction, and the number of photos without one.

    Args:
        predictions: age in years and gender by file name; photos without a face are missing.
    """
    found = [(truth[name], prediction) for name, prediction in predictions.items() if name in truth]
    away = [abs(bisect(EDGES, age) - BINS.index(label[0])) for label, (age, _) in found]
    n = len(found)
    return {
        "images": len(truth),
        "dropped": len(truth) - n,
        "age_bin": sum(a == 0 for a in away) / n if n else None,
        "within_one_bin": sum(a <= 1 for a in away) / n if n else None,
        "gender_accuracy": sum(gender == label[1] for label, (_, gender) in found) / n if n else None,
    }


def main(predictions: str, labels: str) -> None:
    with open(predictions, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    metrics = score(
        read_truth(labels), {PurePath(r["path"]).name: (float(r["age"]), r["gender"]) for r in rows}
    )
    print(f"{metrics['images']} photos, {metrics['dropped']} without a face; of the others:")
    if metrics["age_bin"] is not None:
        print(f"age bin {metrics['age_bin']:.1%}, within one bin {metrics['within_one_bin']:.1%},")
        print(f"gender {metrics['gender_accuracy']:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
