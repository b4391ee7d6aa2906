"""Measure the cost of reduced precision: the embedders in float32, bfloat16 and float16 on the same faces.

    python benchmarks/accuracy/precision.py --data ../shared/data --heads /tmp/accuracy/heads80

Extracts images of UTKFace that ``arcage fit --holdout 0.2`` holds out, and predicts with the same heads. The
processor must compute in the format itself (``arcage doctor`` lists the formats). Each rate is the faster of
two runs; the formats are run one after the other.

float16 stands for TF32 of GPUs, which rounds to the same number of bits (10), but only what is multiplied.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from protocol import SHARE, as_text, held_out_images, main_face, number, share, write_json

from arcage.data.labels import Label
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.evaluation.metrics import compute_metrics
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.sources.source import Source
from arcage.training.overlap import fitted_on
from arcage.types import F32, Labels

RUNS = 2
FORMATS = {"float32": ("FP32", "f32"), "bfloat16": ("BF16", "bf16"), "float16": ("FP16", "f16")}
"""Names of each format: OpenVINO's for a processor that computes in it, and for the property of a network."""


@dataclass(frozen=True, slots=True)
class Run:
    """Descriptors in one format."""

    faces: dict[int, F32]
    """The descriptor of the main face by image number."""
    rate: float
    """Images per second."""


def extract(sources: Sequence[Source], number_format: str) -> Run | None:
    """Extract images with the embedders in a format. Return None if the processor does not compute in it."""
    extractor = Extractor(device="cpu", precision="float32")
    engine = extractor.engine
    assert isinstance(engine, OpenVinoEngine)
    capability, engine._reduced = FORMATS[number_format]
    return Run(*descriptors(sources, extractor)) if capability in engine.processor()[1] else None


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


def compare(before: Run, after: Run, labels: Sequence[Label], heads: Heads) -> dict[str, Any]:
    """Return the metrics of ``after``, and what it changes."""
    both = sorted(before.faces.keys() & after.faces.keys())
    age, gender = np.array([(labels[i].age, labels[i].gender) for i in both], np.float32).T
    x, y = (np.stack([run.faces[i] for i in both]) for run in (before, after))
    p, q = heads.predict(x), heads.predict(y)
    change = np.abs(q.age - p.age)
    return {
        "faces": len(both),
        "images_per_second": after.rate,
        "metrics": compute_metrics(q, Labels(age, gender)),
        "cosine_least": float(
            (np.einsum("ij,ij->i", x, y) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).min()
        ),
        "age_change_mean": float(change.mean()),
        "age_change_largest": float(change.max()),
        "gender_changed": float(np.mean((p.p_female >= 0.5) != (q.p_female >= 0.5))),
    }


HEAD = (
    "",
    "images/s",
    "MAE",
    "gender",
    "coverage",
    "width",
    "least cosine",
    "mean change",
    "largest",
    "other gender",
)


def row(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row of the table."""
    metrics = result["metrics"]
    return (
        name,
        f"{result['images_per_second']:.1f}",
        f"{metrics['mae']:.4f}",
        f"{metrics['gender_accuracy']:.2%}",
        share(metrics["coverage"]),
        number(metrics["width"]),
        f"{result['cosine_least']:.6f}",
        f"{result['age_change_mean']:.4f}",
        number(result["age_change_largest"]),
        f"{result['gender_changed']:.2%}",
    )


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
    sources, labels = [source for source, _ in chosen], [label for _, label in chosen]
    runs = {name: run for name in FORMATS if (run := extract(sources, name)) is not None}
    results = {name: compare(runs["float32"], run, labels, heads) for name, run in runs.items()}
    print(f"{len(chosen):,} images; ages in years, changes from float32")
    print(as_text(HEAD, [row(name, result) for name, result in results.items()]))
    if args.out:
        write_json(args.out, {"images": len(chosen), "formats": results})


if __name__ == "__main__":
    main()
