"""Measure the cost of reduced precision: the same faces in float32 and in the processor's fastest type.

    python benchmarks/accuracy/precision.py --data ../shared/data --heads /tmp/accuracy/heads80

Extracts images of UTKFace that ``arcage fit --holdout 0.2`` holds out with both precisions, and predicts with
the same heads. Each rate is the faster of two runs; the precisions are run one after the other.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from protocol import SHARE, as_text, held_out_images, main_face, number, share, write_json

from arcage.data.labels import Label
from arcage.embedder.extractor import Extractor
from arcage.evaluation.metrics import compute_metrics
from arcage.heads.store import load_heads
from arcage.sources.source import Source
from arcage.training.overlap import fitted_on
from arcage.types import F32, Labels

RUNS = 2


def descriptors(sources: Sequence[Source], extractor: Extractor) -> tuple[dict[int, F32], float]:
    """Return the descriptor of the main face by image number, float32, and images per second."""
    found, rates = {}, []
    for _ in range(RUNS):
        start = time.perf_counter()
        with closing(extractor.stream((i, source.read) for i, source in enumerate(sources))) as results:
            for i, image in results:
                if image.faces:
                    face = main_face([f.box.tolist() for f in image.faces], image.width, image.height)
                    found[i] = image.descriptors[face].astype(np.float32)
        rates.append(len(sources) / (time.perf_counter() - start))
    return found, max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--heads", type=Path, required=True, help="fitted without the held-out fifth")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--limit", type=int, help="use this many images")
    args = parser.parse_args()
    heads = load_heads(args.heads)
    if fitted_on(heads, "utkface", SHARE):
        sys.exit(f"{args.heads} was fitted on the evaluation images: fit with --holdout {SHARE}")
    chosen: list[tuple[Source, Label]] = held_out_images(args.data / "utkface")[: args.limit]
    sources = [source for source, _ in chosen]
    exact, quick = Extractor(precision="float32"), Extractor()
    engines = exact.engine.name, quick.engine.name
    if engines[0] == engines[1]:
        sys.exit(
            f"this processor has no type faster than float32 ({engines[0]}): there is nothing to compare"
        )
    (before, slow), (after, fast) = descriptors(sources, exact), descriptors(sources, quick)
    both = sorted(before.keys() & after.keys())
    age, gender = np.array([(chosen[i][1].age, chosen[i][1].gender) for i in both], np.float32).T
    x, y = (np.stack([found[i] for i in both]) for found in (before, after))
    p, q = heads.predict(x), heads.predict(y)
    old, new = (compute_metrics(one, Labels(age, gender)) for one in (p, q))
    cosine = np.einsum("ij,ij->i", x, y) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    change = np.abs(q.age - p.age)
    report = {
        "images": len(chosen),
        "faces": len(both),
        "engines": engines,
        "images_per_second": [slow, fast],
        "metrics": [old, new],
        "cosine_least": float(cosine.min()),
        "age_change_mean": float(change.mean()),
        "age_change_largest": float(change.max()),
        "gender_changed": float(np.mean((p.p_female >= 0.5) != (q.p_female >= 0.5))),
    }
    head = ("", "images/s", "MAE", "gender", "coverage", "width")
    print(
        as_text(
            head,
            [
                (
                    engine,
                    f"{rate:.1f}",
                    f"{row['mae']:.3f}",
                    share(row["gender_accuracy"]),
                    share(row["coverage"]),
                    number(row["width"]),
                )
                for engine, rate, row in zip(engines, (slow, fast), (old, new), strict=True)
            ],
        )
    )
    print(
        f"{len(both):,} faces: least cosine {cosine.min():.5f}, ages move by {change.mean():.2f} years on "
        f"average and {change.max():.1f} at most, gender changes for {report['gender_changed']:.2%}"
    )
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
