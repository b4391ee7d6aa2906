"""Measure the cost of reduced precision: the embedders in float32, bfloat16 and float16 on the same faces.

    python benchmarks/accuracy/precision.py --data ../shared/data --heads /tmp/accuracy/heads80

Finds and aligns the faces in images of UTKFace that ``arcage fit --holdout 0.2`` holds out, once, because
detectors always run in float32. The embedders then run in each format, one after the other, and the same
heads predict. The processor must compute in the format itself (``arcage doctor`` lists the formats).

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
from arcage.embedder.align import align
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.networks import PackNetworks
from arcage.embedder.packs.record import bundled_pack
from arcage.evaluation.metrics import compute_metrics
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.sources.source import Source
from arcage.training.overlap import fitted_on
from arcage.types import F32, U8, Labels

FORMATS = {"float32": ("FP32", "f32"), "bfloat16": ("BF16", "bf16"), "float16": ("FP16", "f16")}
"""Names of each format: OpenVINO's for a processor that computes in it, and for the property of a network."""


@dataclass(frozen=True, slots=True)
class Run:
    """Descriptors in one format."""

    descriptors: F32
    rate: float
    """Faces per second, of the embedders."""


def main_faces(chosen: Sequence[tuple[Source, Label]]) -> tuple[U8, list[Label]]:
    """Return the aligned main face of each image that has one, (n, 112, 112, 3), and its label."""
    extractor = Extractor(device="cpu")  # its detector runs in float32
    crops, labels = [], []
    with closing(extractor.stream((one, one[0].read) for one in chosen)) as results:
        for (source, label), image in results:
            if image.faces:
                i = main_face([f.box.tolist() for f in image.faces], image.width, image.height)
                data = source.read()
                pixels = decode(data) if isinstance(data, bytes) else data
                crops.append(align([pixels], np.zeros(1, np.intp), image.faces[i].landmarks[None])[0])
                labels.append(label)
    return np.stack(crops), labels


def embed(crops: U8, number_format: str) -> Run | None:
    """Run the embedders in a format. Return None if the processor does not compute in it."""
    engine = OpenVinoEngine("throughput", precision="float32")
    capability, engine._reduced = FORMATS[number_format]
    if capability not in engine.processor()[1]:
        return None
    networks = PackNetworks(bundled_pack(), engine)
    networks.embed(crops[:8])
    start = time.perf_counter()
    descriptors = networks.embed(crops).astype(np.float32)
    return Run(descriptors, len(crops) / (time.perf_counter() - start))


def compare(before: Run, after: Run, labels: Sequence[Label], heads: Heads) -> dict[str, Any]:
    """Return the metrics of ``after``, and what it changes."""
    age, gender = np.array([(label.age, label.gender) for label in labels], np.float32).T
    x, y = before.descriptors, after.descriptors
    p, q = heads.predict(x), heads.predict(y)
    change = np.abs(q.age - p.age)
    return {
        "faces_per_second": after.rate,
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
    "faces/s",
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
        f"{result['faces_per_second']:.1f}",
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
    crops, labels = main_faces(chosen)
    runs = {name: run for name in FORMATS if (run := embed(crops, name)) is not None}
    results = {name: compare(runs["float32"], run, labels, heads) for name, run in runs.items()}
    print(f"main faces of {len(crops):,} images; ages in years, changes from float32")
    print(as_text(HEAD, [row(name, result) for name, result in results.items()]))
    if args.out:
        write_json(args.out, {"faces": len(crops), "formats": results})


if __name__ == "__main__":
    main()
