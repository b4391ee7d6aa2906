"""Every accuracy figure of the README, from the images on.

    python benchmarks/accuracy/table.py --data ../shared/data --work /tmp/accuracy

Descriptors are kept in --work and not computed again. The heads are always fitted anew, on 80 % of UTKFace;
with as many degraded variants of each face as the bundled heads have, unless --augment says otherwise.
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
from arcage.data.labelled import LabelledFaces, labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.evaluation.metrics import as_table, evaluate
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.sources.walk import walk
from arcage.training.evaluate import evaluate_labelled, predict_labelled


def utkface(faces: LabelledFaces, images: int, heads: Heads) -> dict[str, Any]:
    """The held-out part, of so many images."""
    aside = faces.held_out(SHARE)
    judged = faces.select(aside)
    answers = predict_labelled(heads, judged)
    wrong = np.abs(np.round(answers.age) - judged.age)
    return {
        "data": f"UTKFace, ages {faces.age.min():.0f}-{faces.age.max():.0f}",
        "split": f"{aside.sum():,} faces held out by content, fitted on {(~aside).sum():,} others",
        "heads": "of the 80 %",
        "dropped": images - int(aside.sum()),
        "images": asdict(faces.counts),
        # Labels are whole years: an answer of 25.4 is 0.4 off however good it is.
        "whole_years": {"mae": float(wrong.mean()), "cs5": float((wrong <= 5).mean())},
        **evaluate(answers, judged.labels()),
    }


def lfw(faces: LabelledFaces, heads: Heads, name: str) -> dict[str, Any]:
    """Gender alone: there are no ages."""
    return {
        "data": "LFW, half of its persons",
        "split": f"all {len(faces):,} labelled photos with a face, none of LFW was fitted on",
        "heads": name,
        "dropped": faces.counts.no_face + faces.counts.unreadable + faces.counts.contradictory,
        "images": asdict(faces.counts),
        **evaluate_labelled(heads, faces),
    }


def fairface_photos(data: Path, cache: Path, folder: Path | None, name: str) -> dict[str, Any]:
    """Of several faces in a photo, the one nearest to its centre."""
    predictor = Predictor(hint="throughput", heads=folder, cache=cache, faces="center")
    answers = {
        PurePath(source.path).name: (row.age, row.gender)
        for source, (row, *_) in predictor.stream(walk([data / "fairface"]))
        if row.status == "ok"
    }
    return {
        "data": "FairFace, nine age bins",
        "split": "all photos, none of FairFace was fitted on",
        "heads": name,
        **fairface.score(fairface.read_truth(data / "fairface.csv"), answers),
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


def summary(results: list[dict[str, Any]]) -> str:
    """A line for each result."""
    head = (
        "data", "heads", "faces", "dropped", "MAE", "median", "CS@5", "covered", "width",
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
    parser.add_argument("--work", type=Path, required=True, help="for caches and heads")
    parser.add_argument("--out", type=Path, help="for table.json; default WORK/results")
    parser.add_argument("--augment", type=int, help="degraded variants; default as the bundled heads have")
    args = parser.parse_args()

    # Before minutes of work: bundled heads of another pipeline cannot be judged.
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
