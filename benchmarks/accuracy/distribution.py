"""Measure the distribution of the age on held-out faces, and calibrations for degraded copies of them.

    python benchmarks/accuracy/distribution.py --data ../shared/data --work /tmp/accuracy

Uses the cache and the heads of an earlier run of ``table.py`` with the same --work: heads fitted on 80 % of
UTKFace. Calibrations are drawn --draws times: with --labels faces of a copy, evaluated on the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import protocol
from degradations import blur, grey, png, resize
from protocol import SHARE, number, share
from scipy.special import ndtri

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.evaluation.bootstrap import interval
from arcage.evaluation.distribution import crps, distribution_table, evaluate_distribution
from arcage.files import read_bytes
from arcage.heads.distribution import LEVELS, OLDEST, YOUNGEST
from arcage.heads.model import Heads, Predictions
from arcage.heads.recalibrate import calibrated_heads
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.training.evaluate import predict_labelled
from arcage.types import F32, F64, U8, Labels

THRESHOLDS = (18, 21, 25, 30)
BINS = 15
COPIES: dict[str, Callable[[U8], bytes]] = {
    "grey": lambda image: png(grey(image)),
    "24 pixels": lambda image: png(resize(image, 24)),
    "blurred (sigma 6)": lambda image: png(blur(image, 6)),
    "blurred (sigma 10)": lambda image: png(blur(image, 10)),
}
METRICS = ("coverage_50", "coverage_80", "coverage_90", "coverage_95", "width", "crps")


def from_interval(p: Predictions) -> F32:
    """Return quantiles of two halves of normal distributions with the ends of a 90 % interval."""
    z = ndtri(np.array(LEVELS))
    below, above = ((end - p.age)[:, None] / ndtri(0.95) for end in (p.age_low, p.age_high))
    ages = p.age[:, None] - np.minimum(z, 0) * below + np.maximum(z, 0) * above
    return np.asarray(np.clip(ages, YOUNGEST, OLDEST), np.float32)


def reliability(predictions: Predictions, age: F32) -> dict[int, dict[str, Any]]:
    """Return the expected calibration error of ``p_under`` by threshold, and the largest difference of a
    bin of at least 100 faces, with a bootstrap interval."""
    out = {}
    for threshold in THRESHOLDS:
        p, true = predictions.p_under(threshold).astype(np.float64), age < threshold
        bins = np.minimum((p * BINS).astype(int), BINS - 1)
        members = [bins == b for b in range(BINS) if (bins == b).any()]
        differences = [p[m].mean() - true[m].mean() for m in members]
        sizes = [int(m.sum()) for m in members]
        error = float(np.abs(differences) @ np.array(sizes) / len(p))
        worst = max((abs(d), b) for b, d in enumerate(differences) if sizes[b] >= 100)[1]
        ends = interval((p - true)[members[worst]][:, None])
        out[threshold] = {
            "ece": error,
            "worst_bin": float(differences[worst]),
            "worst_bin_interval": None if ends is None else ends[0].tolist(),
            "worst_bin_faces": sizes[worst],
        }
    return out


def widened(base: Predictions, age: F32, new: Predictions) -> Predictions:
    """Return new predictions with one factor for all distances from the age, so that 90 % intervals cover."""
    below, above = base.age - base.age_low, base.age_high - base.age
    needed = np.where(age < base.age, base.age - age, age - base.age) / np.maximum(
        np.where(age < base.age, below, above), 0.1
    )
    factor = np.float32(np.quantile(needed, 0.9, method="weibull"))
    center = new.age[:, None]
    quantiles = np.clip(center + factor * (new.quantiles - center), YOUNGEST, OLDEST)
    return replace(
        new,
        quantiles=quantiles,
        age_low=quantiles[:, LEVELS.index(0.05)],
        age_high=quantiles[:, LEVELS.index(0.95)],
    )


def means(predictions: Predictions, labels: Labels) -> dict[str, float]:
    report = evaluate_distribution(predictions, labels)
    assert report is not None
    p = np.where(labels.gender == 1, predictions.p_female, 1 - predictions.p_female)
    return {
        **{name: report["overall"][name] for name in METRICS},
        "mae": float(np.abs(predictions.age - labels.age).mean()),
        "gender_log_loss": float(-np.log(np.maximum(p, 1e-6)).mean()),
    }


def calibrations(heads: Heads, x: F32, labels: Labels, count: int, draws: int) -> dict[str, Any]:
    """Return the metrics on a copy before, with calibrations, and with widened intervals: mean and standard
    deviation over the draws."""
    before = heads.predict(x)
    rows: dict[str, list[dict[str, float]]] = {"calibrated": [], "widened": []}
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(x))
        chosen, others = order[:count], order[count:]
        one = calibrated_heads(heads, x[chosen], labels.select(chosen))
        rows["calibrated"].append(means(one.predict(x[others]), labels.select(others)))
        wider = widened(before.select(chosen), labels.age[chosen], before.select(others))
        rows["widened"].append(means(wider, labels.select(others)))
    out: dict[str, Any] = {"faces": len(x), "labels": count, "draws": draws, "before": means(before, labels)}
    for name, found in rows.items():
        values: dict[str, F64] = {key: np.array([row[key] for row in found]) for key in found[0]}
        out[name] = {key: [float(v.mean()), float(v.std())] for key, v in values.items()}
    return out


def say(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}: {result['faces']} faces, {result['labels']} labelled, {result['draws']} draws")
    for kind in ("before", "widened", "calibrated"):
        row = {k: v[0] if isinstance(v, list) else v for k, v in result[kind].items()}
        covered = " ".join(f"{share(row[f'coverage_{level}'])}" for level in (50, 80, 90, 95))
        print(
            f"  {kind:<10} coverage at 50/80/90/95 %: {covered}; width {number(row['width'])}; "
            f"CRPS {number(row['crps'])}; MAE {number(row['mae'])}; "
            f"gender log loss {number(row['gender_log_loss'])}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder of table.py")
    parser.add_argument("--out", type=Path, help="folder for distribution.json; default WORK/results")
    parser.add_argument("--copies", type=int, default=800, help="faces that are degraded (default 800)")
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 200], help="default 50 200")
    parser.add_argument("--draws", type=int, default=20, help="default 20")
    args = parser.parse_args()

    extractor = Extractor()
    heads = load_heads(args.work / "heads80")
    heads.check(extractor.fingerprint)
    heads.check_distribution("this benchmark")
    faces = labelled_faces(Cache(args.work / "utkface", extractor.fingerprint), "utkface")
    held_out = faces.select(faces.held_out(SHARE))
    predictions, labels = predict_labelled(heads, held_out), held_out.labels()
    report = evaluate_distribution(predictions, labels)
    assert report is not None
    print(f"UTKFace, {len(held_out):,} faces held out; heads of the other 80 %")
    print(distribution_table(report))
    implied = float(crps(from_interval(predictions), labels.age).mean())
    checks = reliability(predictions, labels.age)
    print(f"CRPS of normal distributions with the same 90 % intervals: {implied:.3f}")
    for threshold, row in checks.items():
        print(f"p_under {threshold}: {row}")

    images = protocol.held_out_images(args.data / "utkface")
    order = np.random.default_rng(0).permutation(len(images))[: args.copies]
    pictures = [decode(read_bytes(images[i][0].path)) for i in order]
    results = {}
    for name, make in COPIES.items():
        x, age, gender = protocol.described(pictures, [images[i][1] for i in order], make, extractor)
        for count in args.labels:
            result = calibrations(heads, x, Labels(age, gender), count, args.draws)
            results[f"{name}, {count}"] = result
            say(name, result)
    out = (args.out or args.work / "results") / "distribution.json"
    protocol.write_json(out, {"held_out": report, "implied": implied, "p_under": checks, "copies": results})


if __name__ == "__main__":
    main()
