"""Measure the repeatability: how much the answers differ between variants of a photo, and photos of a person.

    python benchmarks/accuracy/repeatability.py --data ../shared/data --work /tmp/accuracy --out /tmp/repeatability

Needs the heads of table.py in --work, and its cache of LFW. Variants: faces of UTKFace that the heads were not
fitted on, and photos of LFW, are changed as people and programs change photos without changing the face
(:data:`CAUSES`), and go through detection, descriptors and heads. Persons: the predictions for the photos of
each person of LFW with five or more. Writes repeatability.json.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import protocol
from degradations import brighten, gamma, jpeg, png, resize, rotate

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.errors import HeadsError
from arcage.evaluation.bootstrap import interval, percentile_ends, resamples
from arcage.files import read_bytes
from arcage.heads.model import Heads
from arcage.images.decoder import decode
from arcage.types import F64, U8, Array

MIN_PHOTOS = 5
"""Minimum number of photos of a person."""
ALL, ORIGINAL = "all", "original"

Variant = Callable[[U8], bytes]


def cut(image: U8, left: float, top: float, right: float, bottom: float) -> U8:
    """Cut off shares of the width and the height."""
    height, width = image.shape[:2]
    columns = slice(round(left * width), width - round(right * width))
    return image[round(top * height) : height - round(bottom * height), columns]


def scale(image: U8, factor: float) -> U8:
    return resize(image, factor * max(image.shape[:2]))


CAUSES: dict[str, tuple[Variant, ...]] = {
    "crop": (
        lambda image: png(cut(image, 0.04, 0.04, 0.04, 0.04)),
        lambda image: png(cut(image, 0.05, 0, 0, 0.05)),
    ),
    "scale": tuple(lambda image, f=f: png(scale(image, f)) for f in (0.5, 1.5)),
    "JPEG": tuple(partial(jpeg, quality=quality) for quality in (95, 50)),
    "turn": tuple(lambda image, d=d: png(rotate(image, d)) for d in (-10, 5)),
    "light": (lambda image: png(brighten(image, 1.25)), lambda image: png(gamma(image, 1.25))),
    "mirror": (lambda image: png(image[:, ::-1]),),
}
"""The variants of a photo by cause: from an RGB image, (height, width, 3), uint8, to the encoded image."""
NAMES = (ORIGINAL, *(cause for cause, made in CAUSES.items() for _ in made))
"""The cause of each variant; the first one is the photo itself, encoded without loss."""


def predict_variants(pictures: Sequence[U8], extractor: Extractor, heads: Heads) -> tuple[F64, F64]:
    """Return age and ``p_female`` of each picture's main face in each variant, shape (pictures, variants).

    NaN where no face is found.
    """
    makers: list[Variant] = [png, *(make for made in CAUSES.values() for make in made)]

    def encoded() -> Iterator[tuple[tuple[int, int], Callable[[], bytes]]]:
        for i, picture in enumerate(pictures):
            for j, make in enumerate(makers):
                yield (i, j), partial(make, picture)

    places, descriptors = [], []
    with closing(extractor.stream(encoded())) as results:
        for place, image in results:
            if image.faces:
                face = protocol.main_face([f.box.tolist() for f in image.faces], image.width, image.height)
                places.append(place)
                descriptors.append(image.descriptors[face])
    answers = heads.predict(np.stack(descriptors))
    age, p_female = np.full((2, len(pictures), len(makers)), np.nan)
    rows = tuple(np.array(places).T)
    age[rows], p_female[rows] = answers.age, answers.p_female
    return age, p_female


def deviation(age: F64) -> F64:
    """Return the standard deviation of each row of (n, k), without missing values; NaN for fewer than two."""
    known = np.isfinite(age)
    count = known.sum(axis=1)
    mean = np.nansum(age, axis=1, keepdims=True) / np.maximum(count, 1)[:, None]
    variance = np.nansum((age - mean) ** 2, axis=1) / np.maximum(count - 1, 1)
    return np.where(count > 1, np.sqrt(variance), np.nan)


def summary(spread: F64, flips: F64) -> dict[str, Any]:
    """Return the mean and 90th percentile of the deviations of n faces or persons, and the mean of ``flips``,
    each with its bootstrap interval."""
    known = np.isfinite(spread)
    spread, flips = spread[known], flips[known]
    rows = np.arange(len(spread))
    p90 = [
        np.percentile(spread[np.repeat(rows, drawn.astype(int))], 90)
        for samples in resamples(len(spread))
        for drawn in samples
    ]
    ends = interval(np.stack([spread, flips], axis=1))
    assert ends is not None
    return {
        "n": len(spread),
        "sd": [float(spread.mean()), *ends[0].tolist()],
        "sd_p90": [float(np.percentile(spread, 90)), *percentile_ends(np.array(p90)[:, None])[0].tolist()],
        "flips": [float(flips.mean()), *ends[1].tolist()],
    }


def by_cause(age: F64, p_female: F64) -> dict[str, dict[str, Any]]:
    """Return the summary of all variants of each photo, and that of the photo and the variants of each cause.

    A face flips if a variant has another gender than the photo itself.
    """
    names = np.array(NAMES)
    report = {}
    for cause in (ALL, *CAUSES):
        of = (names == ORIGINAL) | (names == cause) | (cause == ALL)
        female, known = p_female[:, of] >= 0.5, np.isfinite(p_female[:, of])
        flips = ((female != female[:, :1]) & known & known[:, :1]).any(axis=1)
        report[cause] = {
            **summary(deviation(age[:, of]), flips.astype(float)),
            "without_face": int((~known).sum()),
        }
    return report


def by_person(age: F64, female: Array, person: Array) -> dict[str, Any]:
    """Return the summary over the persons with :data:`MIN_PHOTOS` photos or more.

    The ``flips`` of a person are the share of the photos whose gender is not that of the majority.
    """
    names, count = np.unique(person[person != ""], return_counts=True)
    photos = [person == name for name in names[count >= MIN_PHOTOS]]
    spread = np.array([age[own].std(ddof=1) for own in photos])
    share = np.array([female[own].mean() for own in photos])
    return {**summary(spread, np.minimum(share, 1 - share)), "photos": int(np.sum(photos))}


def as_text(report: Mapping[str, Any]) -> str:
    def line(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
        years = ("{:.2f} [{:.2f}, {:.2f}]".format(*row[key]) for key in ("sd", "sd_p90"))
        return (name, f"{row['n']:,}", *years, "{:.1%} [{:.1%}, {:.1%}]".format(*row["flips"]))

    rows = [
        line(f"{name}, {cause}", row) for name in ("utkface", "lfw") for cause, row in report[name].items()
    ]
    rows.append(line("lfw, photos of a person", report["persons"]))
    return protocol.as_text(("", "n", "SD of the age, years", "90th percentile", "gender differs"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/, lfw/ and lfw.csv")
    parser.add_argument("--work", type=Path, required=True, help="folder of table.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON file")
    parser.add_argument("--utkface", type=int, default=200, help="faces of UTKFace; default 200")
    parser.add_argument("--lfw", type=int, default=100, help="persons of LFW, a photo of each; default 100")
    args = parser.parse_args()

    extractor = Extractor()
    heads = protocol.fitted(args.work, extractor.fingerprint)
    if heads is None:
        raise HeadsError(f"run table.py first: {args.work} has no heads for today's descriptors")
    faces = labelled_faces(Cache(args.work / "lfw", extractor.fingerprint), str(args.data / "lfw.csv"))
    persons = np.random.default_rng(0).permutation(np.unique(faces.person))[: args.lfw]
    # Those of UTKFace are sorted by hash, so the first ones are a random sample.
    samples = {
        "utkface": [s.path for s, _ in protocol.held_out_images(args.data / "utkface")[: args.utkface]],
        "lfw": [str(args.data / "lfw" / name / f"{name}_0001.jpg") for name in persons],
    }
    report: dict[str, Any] = {"pipeline": extractor.fingerprint, "variants": len(NAMES) - 1}
    for name, paths in samples.items():
        print(f"{name}: {len(paths):,} photos, {len(NAMES)} variants", file=sys.stderr)
        pictures = [decode(read_bytes(path)) for path in paths]
        report[name] = by_cause(*predict_variants(pictures, extractor, heads))
    answers = heads.predict(faces.descriptors())
    report["persons"] = by_person(answers.age.astype(float), answers.p_female >= 0.5, faces.person)
    print(as_text(report))
    protocol.write_json(args.out / "repeatability.json", report)


if __name__ == "__main__":
    main()
