"""What heads gain from 500 faces of a narrow source, and what they forget of the rest.

    python benchmarks/accuracy/refit.py --data ../shared/data --work /tmp/accuracy

Needs ``--work`` as table.py leaves it. Two heads are adapted: of 55 % of UTKFace, and table.py's, of 80 % and of
degraded variants. The sources are made of held-out faces: children (0 to ``OLDEST`` years), with everybody
older as the rest; the old (from ``OLD`` years), with everybody younger; and strongly blurred copies, with
other faces, as they were, as the rest. ``FACES`` of a source are learnt from and the others judge, in ``DRAWS``
draws; where there are not twice as many, all are learnt from and each is judged by models that have not seen it.
"""  # noqa: E501

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import protocol
from degradations import blur, png

from arcage.cache import Cache
from arcage.data.labelled import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.evaluation.metrics import compute_metrics
from arcage.files import read_bytes, sha256_bytes
from arcage.heads.adapt import adapt_heads
from arcage.heads.model import Heads, Predictions
from arcage.heads.store import load_heads
from arcage.images.decode import decode
from arcage.types import F32, Labels

SHARE = 0.45
"""Held out of UTKFace by the first heads: fewer would not have twice ``FACES`` children."""
OLDEST = 12
OLD = 60
FACES = 500
FEWER = (50, 100, 200)
"""Children, to see how many it takes; and ``FACES`` of all kinds, where there is nothing to learn."""
FORGET = (None, 1.0, 100.0)
"""Years: as little as is usual, more, and everything, as for heads that will see nothing but the source."""
DRAWS = 3
BLURRED = 1400
"""Images to blur: in some no face is found afterwards."""
SIGMAS = (6.0, 10.0)
"""Of the blur, in pixels of a crop of 200. Degraded variants have up to 4."""

Faces = tuple[F32, F32, F32]
"""Descriptors, ages, genders."""


def halves(source: Faces, faces: int = FACES) -> Iterator[tuple[str, Faces, Faces | None]]:
    """Faces to learn from, and others to judge; none where there are too few."""
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


def show(name: str, judged: Faces, before: Predictions, after: Predictions) -> None:
    a, b = (compute_metrics(predictions, Labels(*judged[1:])) for predictions in (before, after))
    print(f"  {name}: {len(judged[0]):,} faces")
    for figure in ("mae", "coverage", "width", "gender_accuracy"):
        was, now = a[figure], b[figure]
        assert was is not None
        assert now is not None
        print(f"    {figure:15}  {was:7.3f} -> {now:7.3f}  ({now / was - 1:+.1%})")


def measure(base: Heads, source: Faces, rest: Faces, forget: float | None = None, faces: int = FACES) -> None:
    rest_before = base.predict(rest[0])
    for name, mine, others in halves(source, faces):
        began = time.perf_counter()
        heads, out_of_fold, _ = adapt_heads(base, mine[0], Labels(*mine[1:]), forget=forget)
        print(f" {name}: adapted to {len(mine[0]):,} faces in {time.perf_counter() - began:.1f} s")
        if others is None:
            show("the source", mine, base.predict(mine[0]), out_of_fold)
        else:
            show("the source", others, base.predict(others[0]), heads.predict(others[0]))
        show("the rest", rest, rest_before, heads.predict(rest[0]))


def blurred(data: Path, extractor: Extractor) -> tuple[list[Faces], str]:
    """Copies, for each of ``SIGMAS``, of images that both heads held out; and the highest sha256 among these:
    sorted by it, the first ones are a random sample."""
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
    parser.add_argument("--data", type=Path, required=True, help="a folder with utkface/ in it")
    parser.add_argument("--work", type=Path, required=True, help="as table.py leaves it")
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
