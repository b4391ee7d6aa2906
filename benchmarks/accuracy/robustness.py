"""Measure the accuracy on degraded images: age error, gender and intervals, by kind and level.

    python benchmarks/accuracy/robustness.py --data ../shared/data --heads /tmp/accuracy/heads80 --out /tmp/curves

Takes a fixed sample of the images of UTKFace that ``arcage fit --holdout 0.2`` holds out, degrades each
(degradations.py), and runs the encoded images through detection, descriptors and heads. Writes
robustness.json and, with matplotlib, robustness.png.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import protocol
from degradations import CURVES, png
from protocol import SHARE, number, share

from arcage.data.labels import Label
from arcage.embedder.extractor import Extractor
from arcage.evaluation.metrics import compute_metrics
from arcage.files import read_bytes
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.training.overlap import fitted_on
from arcage.types import U8, Labels

METRICS = ("mae", "bias", "gender_accuracy", "coverage", "width")
ORIGINAL = "original"


def measure(
    pictures: Sequence[U8],
    labels: Sequence[Label],
    make: Callable[[U8], bytes],
    extractor: Extractor,
    heads: Heads,
) -> dict[str, Any]:
    """Return the metrics of the degraded images in which a face is found, and the share of the others."""
    descriptors, age, gender = protocol.described(pictures, labels, make, extractor)
    row: dict[str, Any] = {"without_face": 1 - len(age) / len(labels), **dict.fromkeys(METRICS)}
    if len(age):
        metrics = compute_metrics(heads.predict(descriptors), Labels(age, gender))
        row |= {name: metrics[name] for name in METRICS}
    return row


def as_text(rows: list[dict[str, Any]]) -> str:
    head = ("", "level", "no face", "MAE", "bias", "gender", "covered", "width")
    return protocol.as_text(
        head,
        (
            (
                row["curve"],
                f"{row['level']:g}" if row["level"] is not None else "",
                share(row["without_face"]),
                number(row["mae"]),
                "-" if row["bias"] is None else f"{row['bias']:+.2f}",
                share(row["gender_accuracy"]),
                share(row["coverage"]),
                number(row["width"]),
            )
            for row in rows
        ),
    )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot a column per degradation and a row per metric; dashed lines: the original images."""
    from matplotlib.figure import Figure

    shown = {
        "mae": "mean absolute error, years",
        "width": "mean width of the interval, years",
        "coverage": "ages inside the 90 % interval",
        "gender_accuracy": "gender accuracy",
        "without_face": "share without a face",
    }
    reference = rows[0]
    figure = Figure(figsize=(3 * len(CURVES), 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(CURVES), sharey="row", sharex="col", squeeze=False)
    for column, curve in enumerate(CURVES):
        # The level of 200 pixels exists already: encoding the original again changes nothing.
        points = {row["level"]: row for row in rows if row["curve"] == curve.name}
        points.setdefault(curve.undegraded, reference)
        levels = sorted(points)
        for line, (key, title) in enumerate(shown.items()):
            ax = axes[line, column]
            ax.axhline(reference[key], color="0.6", linestyle="--", linewidth=1)
            if key == "coverage":
                ax.axhline(0.9, color="tab:red", linestyle=":", linewidth=1)
            values = [np.nan if points[v][key] is None else points[v][key] for v in levels]
            ax.plot(levels, values, marker="o", markersize=3)
            ax.grid(alpha=0.3)
            if curve.log:
                ax.set_xscale("log")
                ax.set_xticks(levels, [f"{v:g}" for v in levels], fontsize=7)
                ax.minorticks_off()
            if column == 0:
                ax.set_ylabel(title)
            if line == 0:
                ax.set_title(curve.name)
            if line == len(shown) - 1:
                ax.set_xlabel(curve.axis)
    figure.savefig(path, dpi=100)
    print(f"written: {path}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--heads", type=Path, required=True, help="fitted with --holdout 0.2")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON file and the plot")
    parser.add_argument("--count", type=int, default=600, help="faces; default 600")
    args = parser.parse_args()

    extractor, heads = Extractor(), load_heads(args.heads)
    heads.check(extractor.fingerprint)
    fitted = fitted_on(heads, "utkface", SHARE)
    if fitted:
        print("the heads were fitted on these faces: the results are too good", file=sys.stderr)
    # The images are sorted by hash, so the first ones are a random sample.
    sample = protocol.held_out_images(args.data / "utkface")[: args.count]
    pictures = [decode(read_bytes(source.path)) for source, _ in sample]
    labels = [label for _, label in sample]
    print(f"{len(sample):,} of UTKFace's held-out images, at each level")

    rows = [{"curve": ORIGINAL, "level": None, **measure(pictures, labels, png, extractor, heads)}]
    for curve in CURVES:
        for level in curve.levels:
            print(f"{curve.name} {level:g}", end="    \r", file=sys.stderr, flush=True)
            metrics = measure(pictures, labels, lambda p, c=curve, v=level: c.make(p, v), extractor, heads)
            rows.append({"curve": curve.name, "level": level, **metrics})
    print(as_text(rows))
    report = {"pipeline": extractor.fingerprint, "faces": len(sample), "fitted_on_them": fitted, "rows": rows}
    protocol.write_json(args.out / "robustness.json", report)
    try:
        draw(rows, args.out / "robustness.png")
    except ImportError:
        print("no plot: pip install matplotlib", file=sys.stderr)


if __name__ == "__main__":
    main()
