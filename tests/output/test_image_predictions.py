"""The predictions for one image are a list that can be drawn, tabulated and shown."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from arcage.errors import ImageError, InputError, UsageError
from arcage.output.annotate import draw
from arcage.output.image_predictions import ImagePredictions
from arcage.output.rows import row_without_face
from arcage.sources.source import Source
from arcage.types import Prediction

PICTURE = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8)
FACE = Prediction(
    *("a.png", 0, 1, 100, 100, 300, 330, 0.93, 35.7, 26.6, 48.4, "female", 0.934, "ok", None, 0.177),
    more={"p_under_18": 0.01},
    image_size=(700, 500),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes())
    return path


def test_it_is_a_list() -> None:
    faces = ImagePredictions([FACE, FACE])
    assert isinstance(faces, list)
    assert faces == [FACE, FACE]
    assert (len(faces), faces[0], faces[-1:]) == (2, FACE, [FACE])
    assert ImagePredictions() == []


def test_its_repr_is_short() -> None:
    assert repr(ImagePredictions([FACE])) == "<1 face in a.png: 35.7 (27-48) female 93 %>"
    many = repr(ImagePredictions([replace(FACE, path="x" * 4000)] * 2000))
    assert many.startswith("<2,000 faces in ...xxx")
    assert many.endswith(" and 1,997 more>")
    assert len(many) < 200
    assert repr(ImagePredictions([row_without_face("a.png")])) == "<a.png: no face>"
    assert repr(ImagePredictions([row_without_face("a\x1b.png", "b\nad")])) == "<a\\x1b.png: b\\nad>"
    assert repr(ImagePredictions()) == "<no predictions>"


def test_to_pandas() -> None:
    frame = ImagePredictions([FACE, FACE], more=["p_under_18"]).to_pandas()
    assert frame["p_under_18"].tolist() == [0.01, 0.01]
    assert list(ImagePredictions([FACE]).to_pandas().columns)[-1] == "familiarity"


def test_draw_reads_the_file_again(path: Path) -> None:
    expected = draw(PICTURE, [FACE])
    faces = ImagePredictions([FACE], Source(str(path), "a.png"))
    np.testing.assert_array_equal(faces.draw(), expected)
    assert (faces.draw().dtype, faces.draw().shape) == (np.uint8, (500, 700, 3))
    path.unlink()
    with pytest.raises(ImageError, match="no such file"):
        faces.draw()
    for given in (PICTURE, cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes()):
        np.testing.assert_array_equal(faces.draw(given), expected)


def test_an_image_in_memory_is_referred_to_weakly() -> None:
    source = Source("-", "-", pixels=PICTURE)
    faces = ImagePredictions([FACE], source)
    np.testing.assert_array_equal(faces.draw(), draw(PICTURE, [FACE]))
    assert "<img" in faces._repr_html_()
    del source
    with pytest.raises(UsageError, match="not in memory: give it to `draw`"):
        faces.draw()
    assert "<img" not in faces._repr_html_()
    assert "female 93 %" in faces._repr_html_()


def test_drawing_on_another_picture() -> None:
    faces = ImagePredictions([FACE])
    with pytest.raises(UsageError, match="an image of 350 x 500 pixels: the predictions are for 700 x 500"):
        faces.draw(PICTURE[:, ::2])
    with pytest.raises(InputError, match="float64"):
        faces.draw(PICTURE / 255)
    # Rows of older versions do not know the size.
    assert ImagePredictions([replace(FACE, image_size=None)]).draw(PICTURE[:, ::2]).shape == (500, 350, 3)


def test_drawing_without_a_face() -> None:
    empty = ImagePredictions([row_without_face("-", image_size=(700, 500))])
    drawn = empty.draw(PICTURE)
    np.testing.assert_array_equal(drawn, PICTURE)
    assert drawn is not PICTURE
    broken = ImagePredictions([row_without_face("a.png", "truncated")], Source("a.png", "a.png", "truncated"))
    with pytest.raises(ImageError, match="truncated"):
        broken.draw()


def test_in_a_notebook(path: Path) -> None:
    faces = ImagePredictions([FACE], Source(str(path), "a.png"), more=["p_under_18"], interval=80)
    html = faces._repr_html_()
    for part in ("<img", "80 %", "p_under_18", "female 93 %"):
        assert part in html
    path.unlink()
    assert "<img" not in faces._repr_html_()
    unreadable = ImagePredictions([row_without_face("a.png", "bad")], Source(str(path), "a.png"))
    assert unreadable._repr_html_() == "<div><p>a.png: bad</p></div>"


def test_copies(path: Path) -> None:
    named = ImagePredictions([FACE], Source(str(path), "a.png"), more=["p_under_18"], interval=80)
    for one in (copy.copy(named), copy.deepcopy(named), pickle.loads(pickle.dumps(named))):  # noqa: S301
        assert isinstance(one, ImagePredictions)
        assert one == named
        assert one._repr_html_() == named._repr_html_()
    source = Source("-", "-", pixels=PICTURE)
    # Without the picture, which may be large.
    for held in (source, Source("a", "a", opener=lambda: b"")):
        data = pickle.dumps(ImagePredictions([FACE], held))
        assert len(data) < 2000
        assert pickle.loads(data) == [FACE]  # noqa: S301
