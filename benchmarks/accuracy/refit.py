"""What heads gain from 500 faces of children that they do not know, and what they forget of grown-ups.

    python benchmarks/accuracy/refit.py --work /tmp/accuracy

Needs ``--work`` as table.py leaves it. Heads are fitted on a part of UTKFace. Of the
children (0 to ``OLDEST`` years) among its other faces the heads are adapted to ``FACES``; as many others
judge them, and so does everybody older. Repeated with other draws of the children.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from protocol import run_arcage

from arcage.cache import Cache
from arcage.data.labelled import labelled_faces
from arcage.embedder.extract import Extractor
from arcage.heads.adapt import adapt_heads
from arcage.heads.evaluate import figures
from arcage.heads.store import load_heads

SHARE = 0.45
"""Held out of UTKFace: fewer would not have twice ``FACES`` children."""
OLDEST = 12
FACES = 500
DRAWS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    if not (work / "heads55").exists():
        arguments = ("--cache", work / "utkface", "--labels", "utkface", "--holdout", SHARE)
        run_arcage("fit", *arguments, "--out", work / "heads55")
    base = load_heads(work / "heads55")
    faces = labelled_faces(Cache(work / "utkface", Extractor().fingerprint), "utkface")
    unseen = faces.select(faces.held_out(SHARE))
    children, rest = unseen.select(unseen.age <= OLDEST), unseen.select(unseen.age > OLDEST)
    x_rest = rest.descriptors()
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(children))
        mine, others = (children.select(np.sort(order[start : start + FACES])) for start in (0, FACES))
        began = time.perf_counter()
        heads, _, _ = adapt_heads(base, mine.descriptors(), mine.age, mine.gender)
        print(f"draw {draw}: adapted in {time.perf_counter() - began:.1f} s")
        for name, judged, x in (("children", others, others.descriptors()), ("rest", rest, x_rest)):
            before, after = (figures(one.predict(x), judged.age, judged.gender) for one in (base, heads))
            for figure in ("mae", "coverage", "width", "gender_accuracy"):
                a, b = before[figure], after[figure]
                assert a is not None
                assert b is not None
                print(f"  {name:8}  {figure:15}  {a:7.3f} -> {b:7.3f}  ({b / a - 1:+.1%})")


if __name__ == "__main__":
    main()
