"""Compare labels chosen by ``arcage data next`` with labels of faces drawn at random.

    python benchmarks/accuracy/next_labels.py --data ../shared/data --work /tmp/accuracy --out /tmp/next

Labels are added in rounds. ``data next`` starts without heads, and after each round uses heads that were
fitted on the labels so far. The faces are those of UTKFace that ``arcage fit --holdout 0.2`` fits on, and the
errors are those on the other 20 %. Heads are ``--kind boosted`` with 3 folds, for age alone. Writes
next_labels.json and, with matplotlib, next_labels.png.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import protocol

from arcage.audit.next_faces import choose_faces, compared_axes
from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.heads.fit import fit_heads
from arcage.heads.model import Heads
from arcage.heads.settings import Settings
from arcage.training.next_labels import CANDIDATES, LABELLED, REFERENCE
from arcage.types import F32, Array, Labels

CHOSEN, RANDOM = "data next", "random"
SIZES = {CHOSEN: (100, 200, 300, 400, 600, 800, 1000), RANDOM: (100, 200, 300, 400, 600, 800, 1000, 1400)}
SEEDS = 3
TARGET = 0.7


def next_faces(x: F32, known: Array, heads: Heads | None, number: int, rng: np.random.Generator) -> Array:
    """Return rows of faces to label, as ``arcage data next`` chooses them."""
    unlabelled = np.setdiff1d(np.arange(len(x)), known)
    candidates = rng.permutation(unlabelled)[: CANDIDATES + number]
    reference = x[rng.permutation(len(x))[:REFERENCE]]
    axes = [compared_axes(heads, part, reference) for part in (x[candidates], x[known[:LABELLED]], reference)]
    return np.asarray(candidates[choose_faces(*axes, number)])


def mean_errors(error: F32, age: F32) -> tuple[float, float]:
    """Return the mean absolute error, and the mean over bands of ten years (the last one from 80 on)."""
    band = np.minimum(age // 10, 8)
    return float(error.mean()), float(np.mean([error[band == k].mean() for k in np.unique(band)]))


def curve(
    way: str, seed: int, train: tuple[F32, F32], test: tuple[F32, F32], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the errors after each round of labels."""
    (x, age), (new, truth) = train, test
    rng = np.random.default_rng(seed)
    known, heads, rows = np.empty(0, np.int64), None, []
    for size in sizes:
        if way == RANDOM:
            left = np.setdiff1d(np.arange(len(x)), known)
            found = rng.choice(left, size - len(known), replace=False)
        else:
            found = next_faces(x, known, heads, size - len(known), rng)
        known = np.concatenate([known, found])
        labels = Labels(age[known], np.full(len(known), np.nan, np.float32))
        heads = fit_heads(x[known], labels, fingerprint="-", settings=Settings(folds=3, seed=seed)).heads
        mae, by_band = mean_errors(np.abs(heads.predict(new).age - truth), truth)
        rows.append({"way": way, "seed": seed, "labels": size, "mae": mae, "mae_by_band": by_band})
        print(rows[-1], flush=True)
    return rows


def summary(rows: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Return the mean over the seeds for each number of labels, and how many random labels reach it.

    That number is interpolated on the curve of random choice, with logarithms of the labels.
    """
    mean: dict[str, dict[int, float]] = {}
    for way in (CHOSEN, RANDOM):
        found = defaultdict(list)
        for row in rows:
            if row["way"] == way:
                found[row["labels"]].append(row[metric])
        mean[way] = {size: float(np.mean(each)) for size, each in sorted(found.items())}
    sizes, errors = np.log(list(mean[RANDOM])), np.array(list(mean[RANDOM].values()))
    out = []
    for size, error in mean[CHOSEN].items():
        inside = errors.min() <= error <= errors.max()
        # np.interp needs increasing errors.
        order = np.argsort(errors, kind="stable")
        equal = float(np.exp(np.interp(error, errors[order], sizes[order]))) if inside else None
        out.append(
            {
                "labels": size,
                "chosen": error,
                "random": mean[RANDOM].get(size),
                "random_labels": equal,
                "share": None if equal is None else size / equal,
            }
        )
    return out


def as_text(rows: list[dict[str, Any]]) -> str:
    head = ("labels", "data next", "random", "random labels for it", "share")
    return protocol.as_text(
        head,
        (
            (
                str(row["labels"]),
                protocol.number(row["chosen"]),
                protocol.number(row["random"]),
                "-" if row["random_labels"] is None else f"{row['random_labels']:.0f}",
                protocol.share(row["share"]),
            )
            for row in rows
        ),
    )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot a curve for each way and metric, with the seeds as dots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    titles = {"mae": "all faces", "mae_by_band": "mean over bands of ten years"}
    for axes, (metric, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for way, colour in ((RANDOM, "#6b7680"), (CHOSEN, "#1f66b0")):
            points = [(row["labels"], row[metric]) for row in rows if row["way"] == way]
            sizes = sorted({size for size, _ in points})
            mean = [np.mean([error for size, error in points if size == one]) for one in sizes]
            axes.plot(sizes, mean, color=colour, label=way)
            axes.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.5)
        axes.set(xscale="log", xlabel="labels", ylabel="mean absolute error, years", title=title)
        axes.set_xticks([100, 200, 400, 800, 1400], ["100", "200", "400", "800", "1,400"])
        axes.set_xticks([], minor=True)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder of the caches")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    protocol.run_arcage("extract", options.data / "utkface", "--cache", options.work / "utkface")
    faces = labelled_faces(Cache(options.work / "utkface", Extractor().fingerprint), "utkface")
    held_out = faces.held_out(protocol.SHARE)
    x = faces.descriptors()
    train, test = ((x[part], faces.age[part]) for part in (~held_out, held_out))
    rows: list[dict[str, Any]] = []
    for seed in range(SEEDS):
        for way, sizes in SIZES.items():
            rows += curve(way, seed, train, test, sizes)
            report = (
                {
                    "faces": {"chosen_from": len(train[1]), "held_out": len(test[1])},
                    "rows": rows,
                    "mae": summary(rows, "mae"),
                    "mae_by_band": summary(rows, "mae_by_band"),
                }
                if seed or way == RANDOM
                else {"rows": rows}
            )
            protocol.write_json(options.out / "next_labels.json", report)
    for metric in ("mae", "mae_by_band"):
        print(f"{metric}:\n{as_text(summary(rows, metric))}")
    try:
        draw(rows, options.out / "next_labels.png")
    except ImportError:
        print("no plot: matplotlib is missing")


if __name__ == "__main__":
    main()
