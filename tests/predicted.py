"""Rows of images: two faces, none, and one that cannot be read."""

from __future__ import annotations

from dataclasses import replace

from arcage.types import Prediction

SIZE = (400, 200)
FACES = [
    Prediction(
        *("in/a b.jpg", 0, 2, -20.0, 50.0, 100.0, 210.5, 0.98765, 34.25, 27.04, 42.0, "female", 0.97125),
        *("ok", None, 0.25),
        more={"p_under_18": 0.123456},
        image_size=SIZE,
    ),
    Prediction(
        *("in/a b.jpg", 1, 2, 200.0, 20.0, 300.0, 120.0, 0.75, None, 3.0, 9.0, None, 0.5, "ok", None),
        more={"p_under_18": None},
        image_size=SIZE,
    ),
]
"""Two faces of one image. Three borders cut the box of the first; the second has no age and no gender."""
NO_FACE = Prediction("c.jpg", None, 0, *[None] * 10, "no_face", None, image_size=(30, 20))  # type: ignore[arg-type]
UNREADABLE = replace(NO_FACE, path="d.jpg", status="unreadable", error="empty file", image_size=None)
UNDECODABLE = replace(NO_FACE, path=b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
ROWS = [*FACES, NO_FACE, UNREADABLE, UNDECODABLE]
