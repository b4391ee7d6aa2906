"""Predictions of several photos at once, in limited time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeExtractor, face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server, running, zipped  # noqa: E402

from arcage.app.limits import Limits  # noqa: E402
from arcage.predictor import Predictor  # noqa: E402


def test_ten_photos_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.05)
    photos = [image(*[face(20 + 5 * i, 0.1 * i)] * (1 + i % 3)) for i in range(10)]
    gate = threading.Barrier(10)

    def ask(i: int) -> list[dict[str, Any]]:
        gate.wait()
        return server(f"/api/predict?name={i}", photos[i]).rows

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    for i, rows in enumerate(answers):
        assert [(row["path"], row["age"]) for row in rows] == [(str(i), 20.0 + 5 * i)] * (1 + i % 3)


def test_ten_photos_at_once_on_the_real_networks(bundled: None, photo: bytes, compiled: Path) -> None:
    import cv2
    import numpy as np

    from arcage.images.decoder import decode

    pixels = cv2.cvtColor(decode(photo), cv2.COLOR_RGB2BGR)
    pictures = [pixels, pixels[:, ::-1], np.hstack([pixels, pixels]), pixels[:60], pixels[40:300, 100:350]]
    photos = [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        predictor = Predictor(device="cpu")
        alone = [predictor.predict(photo) for photo in photos[:5]] * 2
        with running(device="cpu") as server, ThreadPoolExecutor(10) as pool:
            together = list(pool.map(lambda photo: server.predict(photo).rows, photos))
    assert [len(rows) for rows in alone[:3]] == [1, 1, 2]
    for rows, expected in zip(together, alone, strict=True):
        for row, prediction in zip(rows, expected, strict=True):
            assert row["status"] == prediction.status
            assert row["gender"] == prediction.gender
            if prediction.age is not None:
                assert row["age"] == pytest.approx(prediction.age, abs=0.1)
                assert row["x1"] == pytest.approx(prediction.x1, abs=0.1)


def test_a_prediction_that_takes_too_long(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.6)
    with running(Limits(answer_seconds=0.2)) as server:
        answer = server.predict(image(face()))
        assert answer.status == 503
        assert answer.headers["retry-after"]
        assert "try again" in answer.error
        rows = server.batch(zipped({"a.jpg": image(face())})).rows
        assert rows[0]["error"] == "no answer within 0.2 seconds"
