"""The face of an image that a label belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
from caches import BOX, image, write
from joined import counted, table

from arcage.data.join import labelled_faces
from arcage.data.labels import Label
from arcage.data.main_face import labelled_row
from arcage.data.notes import LabelEntry


@pytest.mark.parametrize(
    ("boxes", "main"),
    [
        ([BOX, (0, 0, 20, 20)], 0),
        ([(0, 0, 20, 20), BOX], 1),
        # The larger of two at the same distance from the centre; the nearer of two of the same size.
        ([(90, 90, 110, 110), (60, 60, 140, 140), (0, 0, 30, 30)], 1),
        ([(0, 0, 60, 60), (70, 70, 130, 130), (140, 140, 200, 200)], 1),
        # A larger face that is mostly outside the image.
        ([(-40, 50, 60, 150), (60, 55, 140, 145)], 1),
    ],
)
def test_of_several_faces_the_large_central_one_is_labelled(
    tmp_path: Path, boxes: list[tuple[float, ...]], main: int
) -> None:
    several = image("group", [(i, i) for i in range(len(boxes))], boxes)
    # Other images are next to it in the table, and their faces are not considered.
    others = [(f"{n}.jpg", image(str(n), [(100 + n, 0)])) for n in range(10)]
    cache = write(tmp_path / "cache", [("group.jpg", several), *others])
    faces = labelled_faces(cache, table(tmp_path, "path,age\ngroup.jpg,33\n"))
    assert faces.descriptors().tolist() == [[main, main]]
    assert counted(faces) == {"labelled": 1, "used": 1, "unlabelled": 10}


@pytest.mark.parametrize(
    ("box", "face"),
    [
        ((20, 20, 80, 80), 0),
        ((0, 0, 110, 110), 0),  # around the head: 1.8 times the sides
        ((120, 120, 175, 175), 1),
        ((10, 10, 90, 400), 0),  # around the person
        ((0, 0, 200, 300), None),  # around both
        ((70, 70, 75, 75), None),
        ((300, 300, 400, 400), None),
    ],
)
def test_the_face_in_a_box_that_somebody_drew(
    tmp_path: Path, box: tuple[float, ...], face: int | None
) -> None:
    several = image("group", [(0, 0), (1, 1)], [(20, 20, 80, 80), (120, 120, 180, 180)])
    rows = write(tmp_path / "cache", [("a.jpg", several)]).table()
    entry = LabelEntry("a.json", "a.jpg", Label(30), 0, box, drawn=True)
    assert labelled_row(rows, 0, entry) == face
