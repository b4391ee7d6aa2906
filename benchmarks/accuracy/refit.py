"""Measure what heads gain from 500 faces of a narrow source, and what they lose on other faces.

    python benchmarks/accuracy/refit.py --data ../shared/data --work /tmp/accuracy

Needs the ``--work`` folder of table.py. Two heads are adapted: heads fitted on 55 % of UTKFace, and
table.py's, fitted on 80 % with degraded variants. Sources and reference sets are made of held-out faces:
children (0 to ``OLDEST`` years) and all older people; people from ``OLD`` years on and all younger ones;
strongly blurred copies and other faces, unchanged. Heads are adapted to ``FACES`` faces of a source and
evaluated on the others, in ``DRAWS`` draws. If a source has fewer than twice as many faces, all are used, and
the evaluation is out of fold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import protocol
from degradations import blur, png

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.evaluation.metrics import compute_metrics
from arcage.files import read_bytes, sha256_bytes
from arcage.heads.adapt import adapt_heads
from arcage.heads.model import Heads, Predictions
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.types import F32, Labels

SHARE = 0.45
"""Share of UTKFace that the first heads hold out: enough for twice ``FACES`` children."""
OLDEST = 12
OLD = 60
FACES = 500
FEWER = (50, 100, 200)
"""Numbers of children for the learning curve."""
FORGET = (None, 1.0, 100.0)
"""Years: the default, more, and unlimited, for heads that are only used on the source."""
DRAWS = 3
BLURRED = 1400
"""Images to blur; in some of them no face is found afterwards."""
SIGMAS = (6.0, 10.0)
"""Standard deviations of the blur, pixels of a crop of 200. Degraded variants have up to 4."""

Faces = tuple[F32, F32, F32]
"""Descriptors, ages, genders."""


def halves(source: Faces, faces: int = FACES) -> Iterator[tuple[str, Faces, Faces | None]]:
    """Yield faces to adapt to and faces to evaluate on; None for the latter if there are too few."""
    if len(source[0]) < 2 * FACES:
        yield "out of fold", source, None
        return
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(source[0]))
        mine, others = np.sort(order[:faces]), np.sort(order[FACES:])
        yield f"draw {draw}", of(source, mine), of(source, others)


def of(faces: Faces, rows: np.ndarray) -> Faces:
    x, age, gender = faces
    return x[rows], age[rows], gender[rows]


def show(name: str, faces: Faces, before: Predictions, after: Predictions) -> None:
    a, b = (compute_metrics(predictions, Labels(*faces[1:])) for predictions in (before, after))
    print(f"  {name}: {len(faces[0]):,} faces")
    for metric in ("mae", "coverage", "width", "gender_accuracy"):
        was, now = a[metric], b[metric]
        assert was is not None
        assert now is not None
        print(f"    {metric:15}  {was:7.3f} -> {now:7.3f}  ({now / was - 1:+.1%})")


def measure(
    base: Heads, source: Faces, reference: Faces, forget: float | None = None, faces: int = FACES
) -> None:
    reference_before = base.predict(reference[0])
    for name, mine, others in halves(source, faces):
        began = time.perf_counter()
        heads, out_of_fold, _ = adapt_heads(base, mine[0], Labels(*mine[1:]), forget=forget)
        print(f" {name}: adapted to {len(mine[0]):,} faces in {time.perf_counter() - began:.1f} s")
        if others is None:
            show("the source", mine, base.predict(mine[0]), out_of_fold)
        else:
            show("the source", others, base.predict(others[0]), heads.predict(others[0]))
        show("the reference set", reference, reference_before, heads.predict(reference[0]))


def blurred(data: Path, extractor: Extractor) -> tuple[list[Faces], str]:
    """Blur images that both heads held out, for each of ``SIGMAS``; also return their highest SHA-256.

    The images are sorted by it, so the first ones are a random sample.
    """
    sample = protocol.held_out_images(data / "utkface")[:BLURRED]
    pictures = [decode(read_bytes(source.path)) for source, _ in sample]
    labels = [label for _, label in sample]
    copies = [
        protocol.described(
            pictures, labels, lambda p, sigma=sigma: png(blur(p, sigma * p.shape[1] / 200)), extractor
        )
        for sigma in SIGMAS
    ]
    return copies, sha256_bytes(read_bytes(sample[-1][0].path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder that table.py wrote")
    args = parser.parse_args()
    if not (args.work / "heads55").exists():
        arguments = ("--cache", args.work / "utkface", "--labels", "utkface", "--holdout", SHARE)
        protocol.run_arcage("fit", *arguments, "--out", args.work / "heads55")

    extractor = Extractor()
    faces = labelled_faces(Cache(args.work / "utkface", extractor.fingerprint), "utkface")
    copies, last = blurred(args.data, extractor)
    for name, share in (("heads55", SHARE), ("heads80", protocol.SHARE)):
        base = load_heads(args.work / name)
        unseen = faces.select(faces.held_out(share))
        known: Faces = (unseen.descriptors(), unseen.age, unseen.gender)
        young, old = unseen.age <= OLDEST, unseen.age >= OLD
        for who, inside in ((f"children of 0 to {OLDEST}", young), (f"{OLD} years and older", old)):
            for forget in FORGET:
                print(f"{name}, {who}" + (f", --forget {forget:g}" if forget else ""))
                measure(base, of(known, inside), of(known, ~inside), forget)
        if name == "heads55":
            for few in FEWER:
                print(f"{name}, {few} children")
                measure(base, of(known, young), of(known, ~young), faces=few)
            print(f"{name}, all kinds")
            measure(base, known, known)
        others = of(known, np.array(unseen.sha256()) > last)
        for sigma, copy in zip(SIGMAS, copies, strict=True):
            print(f"{name}, blurred (sigma {sigma:g} of 200 pixels)")
            measure(base, copy, others)


if __name__ == "__main__":
    main()
