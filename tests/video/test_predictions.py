"""Predictions of the persons in videos and before webcams."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from videos import GREEN, FakeCamera, ListCamera, grey, put, rows, write_video

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.predictor import Predictor
from arcage.process.interrupt import handle_signals, is_stopping
from arcage.sources.walk import walk
from arcage.video import person as person_module
from arcage.video import read
from arcage.video.predictions import Videos
from arcage.video.read import Frame
from arcage.video.write import write_frames

LFW = Path(__file__).parents[3] / "shared" / "data" / "lfw"


def test_few_frames_are_in_memory(predictor: Predictor) -> None:
    taken = given = 0

    def pictures() -> Iterator[tuple[int, np.ndarray]]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield number, GREEN

    for number, image, p in predictor.predict_pixels(pictures(), chunk=4):
        assert number == given
        assert (image.faces, len(p.age)) == ((), 0)
        given += 1
        assert taken - given < 8
    assert given == 40


def test_a_person_who_leaves_and_returns_is_one_row(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray
) -> None:
    frames = []
    for t in range(75):
        frames.append(GREEN.copy())
        x = 240 - 22 * t if t < 30 else -180 + 12 * (t - 40)
        put(frames[-1], portrait, x, 40 if t < 30 else 120)
    path = write_video(tmp_path / "a.mp4", frames)
    table = tmp_path / "frames.csv"
    with write_frames(table) as write:
        videos = Videos(predictor, 5, frames=write)
        (source,) = walk([str(path)])
        (person,) = videos.predict(source)
    assert (source.path, person.path, person.face, person.faces) == (*[str(path)] * 2, 0, 1)
    # A whole frame, because a picture as small as the portrait would be treated as a crop and padded.
    (photo,) = predictor.predict(cv2.imencode(".png", frames[5][:, :, ::-1])[1].tobytes())
    assert person.status == "ok"
    assert person.gender == photo.gender == "female"
    assert person.age == pytest.approx(photo.age, abs=4)
    seen = rows(table)
    numbers = {int(row["frame"]) for row in seen}
    assert numbers <= set(range(0, 75, 5))
    assert {0, 5, 55, 60, 65, 70} <= numbers
    assert not numbers & {20, 25, 30, 35, 40}
    assert {row["person"] for row in seen} == {"0"}
    for row in seen:
        assert float(row["seconds"]) == pytest.approx(int(row["frame"]) / 25, abs=0.01)
    # The prediction is computed from the table of the frames.
    for name in ("age", "p_female"):
        counted = person_module._middle(Counter(float(row[name]) for row in seen))[0]
        assert getattr(person, name) == pytest.approx(counted, abs=0.001)
    widths = [float(row["age_high"]) - float(row["age_low"]) for row in seen]
    assert person.age_low < person.age < person.age_high
    assert 0.8 * np.median(widths) < person.age_high - person.age_low <= max(widths)
    # The box is that of the frame with the highest detector score.
    best = max(seen, key=lambda row: float(row["det_score"]))
    assert person.det_score == pytest.approx(float(best["det_score"]), abs=0.001)


@pytest.mark.shared
def test_two_persons_who_cross_and_one_who_returns(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray
) -> None:
    if not LFW.is_dir():
        pytest.skip("../shared/data is absent")
    photo = decode((LFW / "Abbas_Kiarostami" / "Abbas_Kiarostami_0001.jpg").read_bytes())
    other = cv2.resize(photo[60:200, 55:195], (180, 180))
    frames = []
    for t in range(120):
        frames.append(GREEN.copy())
        put(frames[-1], other, 10 + 4 * t, 170)
        put(frames[-1], portrait, 460 - 9 * t if t < 80 else -180 + 9 * (t - 80), 10)
    path = write_video(tmp_path / "a.mp4", frames)
    table = tmp_path / "frames.csv"
    with write_frames(table) as write:
        persons = Videos(predictor, 5, frames=write).predict(*walk([str(path)]))
    assert [(person.face, person.faces) for person in persons] == [(0, 2), (1, 2)]
    by_gender = {person.gender: person for person in persons}
    assert by_gender.keys() == {"male", "female"}
    assert by_gender["female"].age == pytest.approx(34, abs=5)
    assert by_gender["male"].age == pytest.approx(56, abs=6)
    for person in persons:
        seen = [row for row in rows(table) if int(row["person"]) == person.face]
        assert {row["gender"] for row in seen} == {person.gender}
    frames_of = {
        gender: {int(row["frame"]) for row in rows(table) if row["gender"] == gender} for gender in by_gender
    }
    assert frames_of["male"] == set(range(0, 120, 5))
    assert {0, 40, 105, 115} <= frames_of["female"]
    assert not frames_of["female"] & {75, 80, 85}


def test_confidence_limits_apply_to_persons(tmp_path: Path, compiled: Path, portrait: np.ndarray) -> None:
    frame = GREEN.copy()
    put(frame, portrait, 200, 90)
    path = write_video(tmp_path / "a.mp4", [frame] * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        strict = Predictor(device="cpu", max_width=5, min_confidence=0.99)
        (person,) = Videos(strict, 5).predict(*walk([str(path)]))
        assert (person.age, person.gender, person.status) == (None, None, "ok")
        assert person.age_low is not None
        strict = Predictor(device="cpu", min_score=0.99)
        (person,) = Videos(strict, 5).predict(*walk([str(path)]))
        assert person.status == "no_face"


def test_videos_and_images_come_in_one_order(arcage: Callable[..., Any], tmp_path: Path) -> None:
    import fakes

    for name in ("a.jpg", "c.jpg", "e.jpg"):
        (tmp_path / name).write_bytes(fakes.image(fakes.face(), fakes.face(age=50)))
    for name in ("b.mp4", "d.mp4"):
        write_video(tmp_path / name, grey(10))
    (tmp_path / "list").write_text("\n".join(str(tmp_path / name) for name in ("d.mp4", "c.jpg")))
    result = arcage(
        "predict",
        tmp_path / "e.jpg",
        tmp_path / "b.mp4",
        tmp_path / "a.jpg",
        "--from-file",
        tmp_path / "list",
    )
    assert result.exit_code == 0
    found = [row.split(",")[0] for row in result.stdout.splitlines()[1:]]
    assert [Path(path).name for path in found] == [
        *["a.jpg"] * 2,
        "b.mp4",
        *["c.jpg"] * 2,
        "d.mp4",
        *["e.jpg"] * 2,
    ]
    # Folders are not searched for videos, and videos are not extracted.
    assert ".mp4" not in arcage("predict", tmp_path).stdout
    refused = arcage("extract", tmp_path / "b.mp4", "--cache", tmp_path / "cache")
    assert refused.exit_code == 1
    with pytest.raises(ImageError, match="a video, not an image"):
        next(walk([str(tmp_path / "b.mp4")])).read()


@pytest.mark.slow
def test_ctrl_c_keeps_finished_results(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    short = write_video(tmp_path / "a.mp4", grey(5))
    long = write_video(tmp_path / "b.mp4", grey(600))
    out, table, log = tmp_path / "out.csv", tmp_path / "frames.csv", tmp_path / "log"
    process = start(
        *(
            "predict",
            short,
            long,
            "--out",
            out,
            "--frames",
            table,
            "--rate",
            25,
            "--annotate",
            tmp_path / "drawn",
        ),
        FAKE_DELAY=0.02,
        FAKE_LOG=log,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and (not log.exists() or log.read_text().count("\n") < 60):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in words
    assert [row["path"] for row in rows(out)] == [str(short)]
    seen = rows(table)
    assert [row["path"] for row in seen[:6]] == [str(short)] * 5 + [str(long)]
    assert 40 < len(seen) < 600
    assert None not in seen[-1].values()
    assert [p.name for p in (tmp_path / "drawn").iterdir()] == ["a.mp4"]


def test_a_webcam_is_ended_by_ctrl_c(
    arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read.cv2, "VideoCapture", FakeCamera)
    result = arcage("predict", "--webcam", 0, "--rate", 1000, "--frames", tmp_path / "frames.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("camera 0: press Ctrl-C to stop; the predictions follow\n")
    (row,) = csv.DictReader(result.stdout.splitlines())
    assert (row["path"], row["face"], row["faces"], row["age"], row["status"]) == (
        "webcam-0",
        "0",
        "1",
        "30.0",
        "ok",
    )
    seen = rows(tmp_path / "frames.csv")
    assert 5 < len(seen) < 20
    times = [float(row["seconds"]) for row in seen]
    assert times == sorted(times)
    assert times[-1] > 0.05


def test_ctrl_c_in_the_middle_of_a_frame_of_a_camera(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = GREEN.copy()
    put(picture, portrait, 200, 90)

    class Camera(ListCamera):
        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, picture[:, :, ::-1].copy()

    monkeypatch.setattr(read.cv2, "VideoCapture", lambda *_: Camera(*[(0, 640)] * 5))
    seen: list[int] = []

    def write(frame: Frame, found: Any) -> None:
        seen.append(frame.number)
        signal.raise_signal(signal.SIGINT)
        seen.append(len(found))

    with handle_signals():
        ((source, (row,)),) = Videos(predictor, 1000, frames=write).camera(0)
        assert not is_stopping()  # so that the next one counts as the first
    assert seen == [0, 1]
    assert (source.path, row.status, row.gender) == ("webcam-0", "ok", "female")


def test_progress_of_the_frames_of_a_video(predictor: Predictor, tmp_path: Path) -> None:
    calls: list[object] = []

    @contextmanager
    def progress(frames: int) -> Iterator[Callable[[], object]]:
        calls.append(frames)
        yield lambda: calls.append("frame")

    path = write_video(tmp_path / "a.mp4", grey(30))
    videos = Videos(predictor, 5, progress=progress)
    assert [row.status for row in videos.predict(*walk([path]))] == ["no_face"]
    assert calls == [6, *["frame"] * 6]
