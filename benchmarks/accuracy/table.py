"""Compute every accuracy figure of the README, starting from the images.

    python benchmarks/accuracy/table.py --data ../shared/data --work /tmp/accuracy

Descriptors are cached in --work. The heads are fitted in each run, on 80 % of UTKFace, with as many degraded
variants of each face as the bundled heads, or with --augment N.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

import fairface
import numpy as np
import protocol
from protocol import SHARE, number, share

from arcage import Predictor, __version__
from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.embedder.extractor import Extractor
from arcage.evaluation import assurance_text
from arcage.evaluation.assurance import age_assurance
from arcage.evaluation.metrics import as_table, compute_metrics, evaluate
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.sources.walk import walk
from arcage.training.evaluate import evaluate_labelled, predict_labelled

ADULTS = 21, 60
"""Range of ages in years of the split of UTKFace by Cao et al. (CORAL, 2020)."""


def utkface(faces: LabelledFaces, images: int, heads: Heads) -> dict[str, Any]:
    """Evaluate on the held-out part, which has this many images."""
    mask = faces.held_out(SHARE)
    held_out = faces.select(mask)
    predictions = predict_labelled(heads, held_out)
    error = np.abs(np.round(predictions.age) - held_out.age)
    adult = (held_out.age >= ADULTS[0]) & (held_out.age <= ADULTS[1])
    return {
        "data": f"UTKFace, ages {faces.age.min():.0f}-{faces.age.max():.0f}",
        "split": f"{mask.sum():,} faces held out by content, fitted on {(~mask).sum():,} others",
        "heads": "of the 80 %",
        "dropped": images - int(mask.sum()),
        "images": asdict(faces.counts),
        # Labels are whole years, so a prediction of 25.4 years has an error of 0.4 at least.
        "whole_years": {"mae": float(error.mean()), "cs5": float((error <= 5).mean())},
        "adults": compute_metrics(predictions.select(adult), held_out.select(adult).labels()),
        **evaluate(predictions, held_out.labels()),
        "age_assurance": age_assurance(predictions, held_out.labels(), asdict(faces.counts)),
    }


def lfw(faces: LabelledFaces, heads: Heads, name: str) -> dict[str, Any]:
    """Evaluate the gender; LFW has no ages."""
    return {
        "data": "LFW, half of its persons",
        "split": f"all {len(faces):,} labelled photos with a face, none of LFW in the fit",
        "heads": name,
        "dropped": faces.counts.no_face + faces.counts.unreadable + faces.counts.contradictory,
        "images": asdict(faces.counts),
        **evaluate_labelled(heads, faces),
    }


def fairface_photos(data: Path, cache: Path, folder: Path | None, name: str) -> dict[str, Any]:
    """Evaluate the age bins and gender of the face nearest to the centre of each photo."""
    predictor = Predictor(hint="throughput", heads=folder, cache=cache, faces="center")
    predictions = {
        PurePath(source.path).name: (row.age, row.gender)
        for source, (row, *_) in predictor.stream(walk([data / "fairface"]))
        if row.status == "ok"
    }
    return {
        "data": "FairFace, nine age bins",
        "split": "all photos, none of FairFace in the fit",
        "heads": name,
        **fairface.score(fairface.read_truth(data / "fairface.csv"), predictions),
    }


def say(result: dict[str, Any]) -> None:
    print(f"\n{result['data']}: {result['split']}; heads {result['heads']}; dropped {result['dropped']:,}")
    if "overall" not in result:
        print(
            f"age bin {share(result['age_bin'])}, within one bin {share(result['within_one_bin'])}, "
            f"gender {share(result['gender_accuracy'])}"
        )
        return
    images = {k.replace("_", " "): v for k, v in result["images"].items()}
    print("images of the whole set: " + ", ".join(f"{k} {v:,}" for k, v in images.items()))
    print(as_table(result))
    if "whole_years" in result:
        whole = result["whole_years"]
        print(f"ages rounded to whole years: MAE {number(whole['mae'])}, CS@5 {share(whole['cs5'])}")
    if "adults" in result:
        r = result["adults"]
        print(
            f"ages {ADULTS[0]} to {ADULTS[1]}, {r['n_age']:,} faces: MAE {number(r['mae'])}, CS@5 "
            f"{share(r['cs5'])}, gender {share(r['gender_accuracy'])}"
        )
    if result.get("age_assurance"):
        print(assurance_text.as_text(assurance_text.summary(result["age_assurance"])))


def summary(results: list[dict[str, Any]]) -> str:
    """Return a table with a line per result."""
    head = (
        "data", "heads", "faces", "dropped", "MAE", "median", "CS@5", "coverage", "width",
        "bin", "one-off", "gender", "gender 10+", "ECE",
    )  # fmt: skip
    rows = []
    for r in results:
        all_ = r.get("overall", r)
        faces = all_["n_gender"] if "overall" in r else r["images"] - r["dropped"]
        old = r.get("age_bands", {}).get("10 and older", {})
        cells = (
            *(number(all_.get(k)) for k in ("mae", "median")),
            *(share(all_.get(k)) for k in ("cs5", "coverage")),
            number(all_.get("width")),
            *(share(all_.get(k)) for k in ("age_bin", "within_one_bin", "gender_accuracy")),
            share(old.get("gender_accuracy")),
            share(all_.get("ece")),
        )
        rows.append((r["data"], r["heads"], f"{faces:,}", f"{r['dropped']:,}", *cells))
    return protocol.as_text(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="utkface/, lfw/, lfw.csv, fairface/, ...")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches and heads")
    parser.add_argument("--out", type=Path, help="folder for table.json; default WORK/results")
    parser.add_argument("--augment", type=int, help="degraded variants; default: as the bundled heads")
    args = parser.parse_args()

    # Fail early: bundled heads of another pipeline cannot be evaluated.
    bundled, fingerprint = load_heads(), Extractor().fingerprint
    bundled.check(fingerprint)
    augment = protocol.bundled_augment() if args.augment is None else args.augment
    protocol.extract(args.data, args.work, augment)
    eighty = protocol.fit(args.work, augment)

    faces = labelled_faces(Cache(args.work / "utkface", fingerprint), "utkface")
    results = [utkface(faces, len(protocol.held_out_images(args.data / "utkface")), eighty)]
    faces = labelled_faces(Cache(args.work / "lfw", fingerprint), str(args.data / "lfw.csv"))
    both = (("of the 80 %", eighty, args.work / "heads80"), ("bundled", bundled, None))
    results += [lfw(faces, heads, name) for name, heads, _ in both]
    results += [fairface_photos(args.data, args.work / "fairface", folder, name) for name, _, folder in both]
    for result in results:
        say(result)
    print(f"\n{summary(results)}")
    report = {"arcage": __version__, "pipeline": fingerprint, "variants": augment, "results": results}
    protocol.write_json((args.out or args.work / "results") / "table.json", report)


if __name__ == "__main__":
    main()
