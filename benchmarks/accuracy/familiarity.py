"""Measure how well familiarity tells photos of faces from pictures that are unlike them, and what it says of errors.

    python benchmarks/accuracy/familiarity.py --data ../shared/data --work /tmp/accuracy --out /tmp/familiarity

Takes one photo each of persons of LFW, and makes pictures of each kind of it (unfamiliar.py). Every second person
was used to choose the measure; only the others are evaluated, unless --chosen-on is given. Then measures the share
of ordinary photos that are called unfamiliar, and the age errors of the held-out faces of UTKFace by familiarity.
Needs the heads and caches that table.py leaves in --work.
"""  # noqa: E501

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import protocol
from protocol import SHARE, number, share
from unfamiliar import KINDS

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder import align, detect
from arcage.embedder.candidates import Candidates
from arcage.embedder.extractor import THRESHOLD, Extractor
from arcage.embedder.landmarks import refine
from arcage.evaluation.bootstrap import interval, percentile_ends, resamples
from arcage.files import read_bytes, sha256_bytes
from arcage.heads.familiarity import UNFAMILIAR
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.training.evaluate import predict_labelled
from arcage.types import F32, F64, U8, Array

COVERAGES = (1.0, 0.95, 0.9, 0.75, 0.5)


class NotTurned(Extractor):
    """An extractor that does not correct the orientation of faces."""

    def _find_faces(self, images: list[U8], sha256s: list[str]) -> tuple[Candidates, U8]:
        detector = self.networks.detector
        found = detect.find_faces(detector, images, THRESHOLD, self.min_face)
        found = replace(found, landmarks=refine(detector, images, found))
        return found, align.align(images, found.pictures, found.landmarks)


def photos(data: Path, count: int, first: int) -> list[U8]:
    """Return one photo each of ``count`` persons, every second one of a random order."""
    with (data / "lfw.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row["path"]):
        paths.setdefault(row["person"], row["path"])
    persons = sorted(paths, key=lambda person: sha256_bytes(person.encode()))[first : 2 * count : 2]
    return [decode(read_bytes(str(data / "lfw" / paths[person]))) for person in persons]


def main_faces(pictures: Iterable[U8], extractor: Extractor) -> dict[int, tuple[Array, F64]]:
    """Return the descriptor and the landmarks of the main face of each picture in which one is found."""
    out = {}
    numbered = ((i, lambda picture=picture: picture) for i, picture in enumerate(pictures))
    for i, image in extractor.stream(numbered):
        if image.faces:
            face = protocol.main_face([f.box.tolist() for f in image.faces], image.width, image.height)
            out[i] = image.descriptors[face], image.faces[face].landmarks.astype(np.float64)
    return out


def auroc(familiar: F32, other: F32, draws: int = 0) -> tuple[float, list[float]]:
    """Return the probability that the other is less familiar, and its bootstrap interval."""
    less = (other[:, None] < familiar) + 0.5 * (other[:, None] == familiar)
    samples = zip(resamples(len(other), seed=1), resamples(len(familiar), seed=2), strict=False)
    values = [
        np.einsum("si,si->s", a @ less, b) / len(other) / len(familiar)
        for a, b in samples
        if len(a) == len(b)
    ]
    return float(less.mean()), percentile_ends(np.concatenate(values)[:, None])[0].tolist()


def kinds(pictures: Sequence[U8], heads: Heads) -> list[dict[str, Any]]:
    """Compare pictures of each kind with the photos that they are made of."""
    extractor, as_detected = Extractor(), NotTurned()
    upright = main_faces(pictures, extractor)
    familiar = heads.predict(np.stack([x for x, _ in upright.values()])).familiarity
    rows = [row("photos", len(pictures), familiar)]
    for name, make in KINDS.items():
        made = [
            make(pictures[i], landmarks, np.random.default_rng(i)) for i, (_, landmarks) in upright.items()
        ]
        turned = name in ("upside down", "on its side")
        found = main_faces(made, as_detected if turned else extractor)
        other = heads.predict(np.stack([x for x, _ in found.values()])).familiarity
        value, ends = auroc(familiar, other)
        rows.append({**row(name, len(made), other), "auroc": value, "interval": ends})
        print(f"{name}: {value:.4f}", file=sys.stderr)
    return rows


def row(name: str, pictures: int, familiarity: F32) -> dict[str, Any]:
    ends = interval((familiarity < UNFAMILIAR)[:, None].astype(np.float64))
    return {
        "kind": name,
        "pictures": pictures,
        "faces": len(familiarity),
        "median": float(np.median(familiarity)),
        "below_0.01": float((familiarity < 0.01).mean()),
        "unfamiliar": float((familiarity < UNFAMILIAR).mean()),
        "unfamiliar_interval": None if ends is None else ends[0].tolist(),
    }


def ordinary(data: Path, work: Path, heads: Heads) -> list[dict[str, Any]]:
    """Describe the familiarity of all labelled photos of LFW, and of the photos of FairFace."""
    rows = []
    for name in ("lfw", "fairface"):
        faces = labelled_faces(Cache(work / name, heads.fingerprint), str(data / f"{name}.csv"))
        found = row(f"all photos of {name}", len(faces), predict_labelled(heads, faces).familiarity)
        rows.append(found)
    return rows


def risk(work: Path, heads: Heads) -> list[dict[str, Any]]:
    """Return the age error of the most familiar shares of the held-out faces, and the difference to all."""
    faces = labelled_faces(Cache(work / "utkface", heads.fingerprint), "utkface")
    faces = faces.select(faces.held_out(SHARE))
    predictions = predict_labelled(heads, faces)
    error = np.abs(predictions.age - faces.age).astype(np.float64)
    order = np.argsort(-predictions.familiarity, kind="stable")
    rows = []
    for coverage in COVERAGES:
        kept = np.zeros(len(faces))
        kept[order[: round(coverage * len(faces))]] = 1
        means = [
            times @ (kept * error) / (times @ kept) - times @ error / times.sum(axis=1)
            for times in resamples(len(faces))
        ]
        rows.append(
            {
                "coverage": coverage,
                "faces": int(kept.sum()),
                "mae": float(error[kept > 0].mean()),
                "difference": float(error[kept > 0].mean() - error.mean()),
                "interval": percentile_ends(np.concatenate(means)[:, None])[0].tolist(),
                "lowest": float(predictions.familiarity[kept > 0].min()),
            }
        )
    return rows


def as_text(rows: list[dict[str, Any]]) -> str:
    head = ("", "pictures", "faces", "AUROC", "95 %", "median", "below 0.01", "unfamiliar", "95 %")

    def span(ends: list[float] | None, digits: int, factor: float = 1) -> str:
        return "-" if ends is None else "-".join(f"{factor * end:.{digits}f}" for end in ends)

    lines = (
        (
            r["kind"], f"{r['pictures']:,}", f"{r['faces']:,}", f"{r['auroc']:.4f}" if "auroc" in r else "-",
            span(r.get("interval"), 3), f"{r['median']:.2g}", share(r["below_0.01"]), share(r["unfamiliar"]),
            span(r["unfamiliar_interval"], 1, 100),
        )
        for r in rows
    )  # fmt: skip
    return protocol.as_text(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="utkface/, lfw/, lfw.csv, fairface/, ...")
    parser.add_argument("--work", type=Path, required=True, help="folder of table.py")
    parser.add_argument("--heads", type=Path, help="fitted with --holdout 0.2; default WORK/heads80")
    parser.add_argument("--out", type=Path, required=True, help="folder for familiarity.json")
    parser.add_argument("--count", type=int, default=240, help="persons; default 240")
    parser.add_argument("--chosen-on", action="store_true", help="the persons that the measure was chosen on")
    args = parser.parse_args()

    heads = load_heads(args.heads or args.work / "heads80")
    heads.check(Extractor().fingerprint)
    heads.check_familiarity("this benchmark")
    rows = kinds(photos(args.data, args.count, 0 if args.chosen_on else 1), heads)
    rows += ordinary(args.data, args.work, heads)
    print(as_text(rows))
    report: dict[str, Any] = {"pipeline": heads.fingerprint, "unfamiliar": UNFAMILIAR, "kinds": rows}
    if not args.chosen_on:
        report["risk"] = risk(args.work, heads)
        print("\nUTKFace, held-out faces, most familiar first")
        head = ("share", "faces", "familiarity from", "MAE", "difference", "95 %")
        lines = [
            (
                share(r["coverage"]), f"{r['faces']:,}", f"{r['lowest']:.4f}", number(r["mae"]),
                f"{r['difference']:+.3f}", " to ".join(f"{end:+.3f}" for end in r["interval"]),
            )
            for r in report["risk"]
        ]  # fmt: skip
        print(protocol.as_text(head, lines))
    protocol.write_json(args.out / "familiarity.json", report)


if __name__ == "__main__":
    main()
