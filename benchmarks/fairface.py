"""Age bins and gender of photos that are labelled as FairFace is: path, age_bin, gender.

arcage predict FOLDER --faces center --out answers.csv && python benchmarks/fairface.py answers.csv LABELS.csv
"""

from __future__ import annotations

import csv
import sys
from bisect import bisect
from pathlib import PurePath

BINS = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"]
EDGES = [2.5, 9.5, 19.5, 29.5, 39.5, 49.5, 59.5, 69.5]


def main(answers: str, labels: str) -> None:
    with open(labels, encoding="utf-8") as file:
        truth = {row["path"]: row for row in csv.DictReader(file)}
    with open(answers, encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if PurePath(row["path"]).name in truth]
    found = [row for row in rows if row["status"] == "ok"]
    away, gender = [], []
    for row in found:
        label = truth[PurePath(row["path"]).name]
        away.append(abs(bisect(EDGES, float(row["age"])) - BINS.index(label["age_bin"])))
        gender.append(row["gender"] == label["gender"])
    n = len(found)
    print(f"{len(truth)} photos, {len(truth) - n} without a face or answer; of the other {n}:")
    print(f"age bin {sum(a == 0 for a in away) / n:.1%}, within one bin {sum(a <= 1 for a in away) / n:.1%},")
    print(f"gender {sum(gender) / n:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
