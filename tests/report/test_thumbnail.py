"""Thumbnails of faces."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from caches import FINGERPRINT, image
from reports import Made, answer, report_on

from arcage.audit.records import picture_key
from arcage.cache import Cache
from arcage.images.decoder import decode
from arcage.report.thumbnail import SIDE, cut, thumbnails
from arcage.report.worst import worst_faces


def test_thumbnails(made: Made) -> None:
    _, full, page, _ = made
    every = [face for rows in full["worst_faces"].values() for face in rows]
    assert all(face["thumbnail"] for face in every)
    shown = [a["src"] or "" for t, a in page.tags if t == "img" and "jpeg" in (a.get("src") or "")]
    assert len(shown) == len(every)
    for source in shown:
        pixels = decode(base64.b64decode(source.split(",")[1]))
        assert pixels.shape == (SIDE, SIDE, 3)
        # The box takes two thirds of the thumbnail; the margin is a quarter of its side.
        middle = pixels[SIDE // 6 + 4 : -SIDE // 6 - 4, SIDE // 6 + 4 : -SIDE // 6 - 4]
        assert abs(middle[..., 1].mean() - 120) < 4
        assert pixels[:8].mean() < 8


def test_thumbnails_only_of_the_images_themselves(made: Made, tmp_path: Path) -> None:
    faces, _, _, folder = made
    names = Cache(folder / "cache", FINGERPRINT).names()
    worst = worst_faces(answer(faces), faces, names)
    (tmp_path / "sub").mkdir()
    a, b, c, d = [face for face in worst["age"] if face["names"][0].startswith("sub/")][:4]
    data = (folder / "photos" / a["names"][0]).read_bytes()
    (tmp_path / a["names"][0]).write_bytes(data)
    (tmp_path / b["names"][0]).write_bytes(data)  # readable, but another image
    (tmp_path / c["names"][0]).mkdir()
    found = thumbnails(worst, [tmp_path])
    assert set(found) == {picture_key(a)}
    assert (a["thumbnail"], b["thumbnail"], c["thumbnail"], d["thumbnail"]) == (True, False, False, False)
    # Each face of an image has its own thumbnail; accents may have another Unicode normalisation.
    (tmp_path / "Zoe\u0308.jpg").write_bytes(data)
    faces_of_one = [{**a, "face": n, "box": [n, 0, n + 40, 40], "names": ["Zo\u00eb.jpg"]} for n in (0, 100)]
    pictures = thumbnails({"age": faces_of_one}, [tmp_path])
    assert [picture_key(face) for face in faces_of_one] == list(pictures)
    assert len(set(pictures.values())) == 2
    # The hash is right, but the file is not an image.
    text = tmp_path / "text.jpg"
    text.write_bytes(b"no image")
    face = {**a, "names": ["text.jpg"], "sha256": image(b"no image").sha256}
    assert thumbnails({"age": [face]}, [tmp_path]) == {}
    # Without names no image is found, and the page shows the hash.
    assert thumbnails(worst_faces(answer(faces), faces), [folder / "photos"]) == {}
    full, page = report_on(tmp_path / "out", faces, answer(faces))
    assert full["worst_faces"]["age"][0]["names"] == []
    assert f"{full['worst_faces']['age'][0]['sha256'][:12]}..." in page.texts
    assert "There are no thumbnails: they need the folder of the images." in page.words
    assert not any("jpeg" in (attributes.get("src") or "") for _, attributes in page.tags)


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((50, 50, 150, 150), (SIDE, SIDE)),
        ((0, 0, 20, 20), (25, 25)),  # small ones are not enlarged; a quarter above and left is outside
        ((-100, -100, 50, 50), (88, 88)),
        ((150, 60, 250, 160), (SIDE, round(SIDE * 75 / 150))),
        ((400, 400, 500, 500), (1, 1)),
        ((80, 80, 80, 80), (3, 3)),
    ],
)
def test_cutting_a_face(box: tuple[int, ...], shape: tuple[int, int]) -> None:
    part = cut(np.zeros((200, 200, 3), np.uint8), np.array(box, float))
    assert part.shape[:2] == pytest.approx(shape, abs=1)
