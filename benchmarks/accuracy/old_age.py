"""What it costs to predict old people less young: error over all against bias of 65 years and older.

    python benchmarks/accuracy/old_age.py --work /tmp/accuracy --out /tmp/accuracy/old-age

Needs the cache of table.py in --work. The faces are the training part of UTKFace, all predictions are out of
fold. Two ways are compared, each with several strengths:

- weights: faces of rare ages weigh more in the fit, by the smoothed density of the labelled ages to the power
  of minus the strength (LDS; Yang et al., Delving into Deep Imbalanced Regression, ICML 2021)
- quantiles: the answer is not the median of the predictive distribution but a higher quantile, at
  0.5 + strength / 2 * P(65 or older). It minimises E|answer - age| - strength * P(65 or older) * answer, so,
  as far as the distribution is right, no other answer costs less over all for the same bias of the old

Writes old-age.json and, with matplotlib, old-age.png. Each fit is kept in --out, and not repeated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import protocol

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.evaluation.bootstrap import interval
from arcage.heads.distribution import LEVELS
from arcage.heads.fit import fit_heads
from arcage.heads.model import Predictions
from arcage.types import F32, F64, Array, Labels

OLD = 65
WEIGHTS = (0, 1, 0.5)
QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
SMOOTHING = 2.0
"""Standard deviation of the smoothed density, years; 2 as in the paper."""
HEAVIEST = 20.0
"""Maximum weight of a face, in units of that at the median density."""


def density_weights(age: F32, strength: float) -> F32:
    """Return the weight of each face by the smoothed density of its age."""
    years = age.astype(int)
    grid = np.arange(years.max() + 1)
    kernel = np.exp(-0.5 * ((grid[:, None] - grid) / SMOOTHING) ** 2)
    density = kernel @ np.bincount(years) / kernel.sum(axis=1)
    weight = (np.median(density[years]) / density[years]) ** strength
    return np.minimum(weight, HEAVIEST).astype(np.float32)


def higher(predictions: Predictions, strength: float) -> F64:
    """Return the predicted ages, moved from the median to a higher quantile where the face may be old."""
    level = 0.5 + strength / 2 * (1 - predictions.p_under(OLD).astype(np.float64))
    place = np.interp(level, LEVELS, np.arange(len(LEVELS)))
    lower = np.minimum(place.astype(int), len(LEVELS) - 2)
    rows, share = np.arange(len(predictions)), place - lower
    quantiles = predictions.quantiles.astype(np.float64)
    answer = quantiles[rows, lower] * (1 - share) + quantiles[rows, lower + 1] * share
    return np.asarray(predictions.age + answer - quantiles[:, LEVELS.index(0.5)], np.float64)


def out_of_fold(x: F32, labels: Labels, strength: float, folder: Path) -> Predictions:
    """Return the out-of-fold predictions of heads that are fitted with weights of a strength."""
    file = folder / f"weights-{strength:g}.npz"
    if not file.exists():
        weight = density_weights(labels.age, strength)
        fitted = fit_heads(x, labels, fingerprint="", weight=weight).out_of_fold
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, age=fitted.age, quantiles=fitted.quantiles)
    with np.load(file) as stored:
        unknown = np.full(len(x), np.nan, np.float32)
        return Predictions(stored["age"], unknown, unknown, unknown, stored["quantiles"])


def row(way: str, strength: float, predicted: F64, base: F64, age: F64) -> dict[str, Any]:
    """Return the errors of predictions, and their difference to those without any change."""
    error, old, said = predicted - age, age >= OLD, predicted >= OLD
    cost = np.abs(error) - np.abs(base - age)

    def mean(values: Array) -> list[float]:
        ends = interval(values[:, None].astype(np.float64))
        assert ends is not None
        return [float(values.mean()), *ends[0].tolist()]

    return {
        "way": way,
        "strength": strength,
        "faces": len(age),
        "old": int(old.sum()),
        "mae": mean(np.abs(error)),
        "cost": mean(cost),
        "bias_old": mean(error[old]),
        "mae_old": mean(np.abs(error[old])),
        "predicted_old": int(said.sum()),
        "bias_predicted_old": mean(error[said]),
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    first = rows[0]
    for way, colour, marker in (("weights", "#1f66b0", "o"), ("quantiles", "#c4521a", "s")):
        points = [row for row in rows if row["way"] == way and row["strength"] > 0]
        points = [first, *sorted(points, key=lambda row: row["strength"])]
        x, y = ([point[name] for point in points] for name in ("cost", "bias_old"))
        errors = [np.abs(np.array([[v[0] - v[1], v[2] - v[0]] for v in values])).T for values in (x, y)]
        axes.errorbar(
            [v[0] for v in x], [v[0] for v in y], errors[1], errors[0], color=colour, marker=marker,
            markersize=4, linewidth=1.4, elinewidth=0.8, label=way,
        )  # fmt: skip
        for point in points[1:]:
            at = point["cost"][0], point["bias_old"][0]
            axes.annotate(f"{point['strength']:g}", at, (5, -11), textcoords="offset points", color=colour)
    axes.axhline(
        first["bias_old"][0] / 2, color="#23292f", linestyle="--", linewidth=0.8, label="half the bias"
    )
    axes.axhline(0, color="#23292f", linewidth=0.8)
    axes.set(xlabel="MAE of all faces: change (years)", ylabel=f"bias from {OLD} years on (years)")
    axes.grid(linewidth=0.5)
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of table.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON file and the plot")
    args = parser.parse_args()

    faces = labelled_faces(Cache(args.work / "utkface", Extractor().fingerprint), "utkface")
    train = faces.select(~faces.held_out(protocol.SHARE))
    x, labels = train.descriptors(), train.labels()
    age = labels.age.astype(np.float64)
    fits = {strength: out_of_fold(x, labels, strength, args.out) for strength in WEIGHTS}
    base = fits[0].age.astype(np.float64)
    rows = [row("weights", s, fit.age.astype(np.float64), base, age) for s, fit in fits.items()]
    rows += [row("quantiles", s, higher(fits[0], s), base, age) for s in QUANTILES]
    head = ("way", "strength", "MAE", "cost", "bias 65+", "MAE 65+", "predicted 65+", "their bias")
    names = ("mae", "cost", "bias_old", "mae_old")
    lines = [
        (
            r["way"], f"{r['strength']:g}",
            *("{:.2f} [{:.2f}, {:.2f}]".format(*r[name]) for name in names),
            f"{r['predicted_old']:,}", "{:.2f} [{:.2f}, {:.2f}]".format(*r["bias_predicted_old"]),
        )
        for r in rows
    ]  # fmt: skip
    print(f"{len(age):,} faces, {rows[0]['old']:,} of {OLD} years and older, out of fold")
    print(protocol.as_text(head, lines))
    protocol.write_json(args.out / "old-age.json", rows)
    try:
        draw(rows, args.out / "old-age.png")
    except ImportError:
        print("no plot: pip install matplotlib", file=sys.stderr)


if __name__ == "__main__":
    main()
