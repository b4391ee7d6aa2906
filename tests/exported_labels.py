"""The exports of annotation tools in ``tests/data/exports``, and a cache of their images.

``label-studio*`` were written by label-studio-sdk 2.0.22 from one project; ``cvat-coco.json`` has the form of
"COCO 1.0" of CVAT 2.
"""

from __future__ import annotations

from pathlib import Path

from caches import image, write

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces

EXPORTS = Path(__file__).parent / "data" / "exports"
TRUTH = {(0, 0): (30, 0), (1, 0): (8, 1), (2, 0): (71, 1), (3, 0): (44, 0)}
"""Age and gender by the descriptor of the face."""


def cache_of_exports(folder: Path) -> Cache:
    """Return a cache of a.jpg with two faces, b.jpg and c.jpg, each also in another folder."""
    first, second = (20, 25, 80, 85), (120, 115, 190, 185)
    return write(
        folder / "cache",
        [
            # The second face in the order of the detector is the first one that was drawn.
            ("a.jpg", image("a", [(1, 0), (0, 0)], [second, first])),
            ("b.jpg", image("b", [(2, 0)], [(70, 70, 130, 135)])),
            ("c.jpg", image("c", [(3, 0), (9, 9)], [(60, 60, 140, 140), (0, 0, 20, 20)])),
        ],
    )


def labels_by_descriptor(faces: LabelledFaces) -> dict[tuple[int, ...], tuple[float, float]]:
    """Return age and gender of each labelled face by its descriptor."""
    keys = [tuple(int(value) for value in row) for row in faces.descriptors()]
    return {
        key: (float(age), float(gender))
        for key, age, gender in zip(keys, faces.age, faces.gender, strict=True)
    }


def read_export(folder: Path, name: str) -> dict[tuple[int, ...], tuple[float, float]]:
    """Return the labels of an export, joined with the cache."""
    return labels_by_descriptor(labelled_faces(cache_of_exports(folder), str(EXPORTS / name)))
