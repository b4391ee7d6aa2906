"""Measure the coverage of the intervals of persons in videos, on videos made from held-out faces.

    python benchmarks/accuracy/video.py --data ../shared/data --heads /tmp/accuracy/heads80

Each image of UTKFace that ``arcage fit --holdout 0.2`` leaves out becomes the frames of a video, one per
second: moved, turned, scaled, brightened, blurred and compressed at random, each frame a little differently.
Compares the predictions of single frames, and of the persons (arcage.video.person), with the label.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import protocol
from degradations import jpeg
from protocol import main_face, number, share

from arcage.embedder.extractor import Extractor
from arcage.files import read_bytes
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.types import U8
from arcage.video.person import Person


def frame(image: U8, rng: np.random.Generator, amount: float) -> bytes:
    """Return one more frame of the image, encoded; with amount 0 only the compression changes it."""
    height, width = image.shape[:2]
    turn, scale = amount * rng.normal(0, 6), np.exp(amount * rng.normal(0, 0.1))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    matrix[:, 2] += amount * rng.normal(0, 4, 2)
    moved = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    soft = cv2.GaussianBlur(moved, (0, 0), 0.3 + amount * rng.exponential(1))
    light = soft * np.exp(amount * rng.normal(0, 0.2)) + amount * rng.normal(0, 4, soft.shape)
    return jpeg(np.clip(light, 0, 255).astype(np.uint8), rng.uniform(40, 90))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with utkface/ in it")
    parser.add_argument("--heads", type=Path, required=True, help="fitted with --holdout 0.2")
    parser.add_argument("--count", type=int, default=600, help="faces; default 600")
    parser.add_argument("--frames", type=int, default=8, help="of each video; default 8")
    args = parser.parse_args()

    extractor, heads = Extractor(), load_heads(args.heads)
    heads.check(extractor.fingerprint)
    sample = protocol.held_out_images(args.data / "utkface")[: args.count]
    rows = []
    for amount in (0.0, 0.5, 1.0, 2.0):

        def encoded(amount: float = amount) -> Iterator[tuple[int, Callable[[], bytes]]]:
            for i, (source, _) in enumerate(sample):
                image = decode(read_bytes(source.path))
                for j in range(args.frames):
                    yield (
                        i,
                        lambda image=image, seed=(i, j): frame(image, np.random.default_rng(seed), amount),
                    )

        owners, faces, descriptors = [], [], []
        with closing(extractor.stream(encoded())) as results:
            for i, image in results:
                if image.faces:
                    best = main_face([f.box.tolist() for f in image.faces], image.width, image.height)
                    owners.append(i)
                    faces.append(image.faces[best])
                    descriptors.append(image.descriptors[best])
        p = heads.predict(np.stack(descriptors))
        values = np.stack([p.age, p.age_low, p.age_high, p.p_female], axis=1)
        persons: dict[int, Person] = {}
        for second, (i, face, row) in enumerate(zip(owners, faces, values.tolist(), strict=True)):
            persons.setdefault(i, Person()).add(face, row, second)
        joined = np.array([person.estimate() for person in persons.values()])
        for what, who, predicted in (("frames", owners, values), ("persons", list(persons), joined)):
            age = np.array([sample[i][1].age for i in who])
            inside = (predicted[:, 1] <= age) & (age <= predicted[:, 2])
            rows.append(
                (
                    f"{amount:g}",
                    what,
                    f"{len(age):,}",
                    number(np.abs(predicted[:, 0] - age).mean()),
                    share(inside.mean()),
                    number((predicted[:, 2] - predicted[:, 1]).mean()),
                )
            )
    print(protocol.as_text(("amount", "", "count", "MAE", "covered", "width"), rows))


if __name__ == "__main__":
    main()
