"""The table of the frames, and annotated videos."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import GREEN, ListCamera, grey, put, rows, write_video

from arcage.errors import ForeignFileError, ImageError, OutputError
from arcage.predictor import Predictor
from arcage.sources.walk import walk
from arcage.video import read
from arcage.video.predictions import Videos
from arcage.video.read import Frame, open_video
from arcage.video.write import draw_video


def test_an_annotated_video_has_the_processed_frames(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray
) -> None:
    from arcage.output.annotate import Annotator

    frames = [GREEN.copy() for _ in range(50)]
    for t, frame in enumerate(frames):
        put(frame, portrait, 100 + 4 * t, 90)
    path = write_video(tmp_path / "a.mov", frames)
    videos = Videos(predictor, 10, annotator=Annotator(tmp_path / "out", [str(path)]))
    (person,) = videos.predict(*walk([str(path)]))
    assert videos.drawn == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.mov.mp4"]
    with open_video(str(tmp_path / "out" / "a.mov.mp4"), 1000) as reader:
        assert reader.rate == 10
        drawn = list(reader)
    assert len(drawn) == 20
    assert drawn[0].image.shape == GREEN.shape
    # Boxes and labels change only pixels near the face.
    with open_video(str(path), 10) as reader:
        plain = list(reader)
    for before, after in zip(plain, drawn, strict=True):
        changed = np.abs(before.image.astype(int) - after.image).max(axis=2) > 60
        _, x = np.nonzero(changed)
        left = 100 + 4 * before.number
        assert len(x) > 300
        assert left - 60 < x.min() < x.max() < left + 240
    # A video that arcage wrote may be replaced, another one may not.
    videos.predict(*walk([str(path)]))
    for others in (path.read_bytes(), b"short"):
        (tmp_path / "out" / "a.mov.mp4").write_bytes(others)
        with pytest.raises(ForeignFileError, match=r"a\.mov\.mp4 was not written by arcage"):
            videos.predict(*walk([str(path)]))
    assert person.status == "ok"


def test_an_annotated_video_keeps_the_time_and_odd_sizes(tmp_path: Path) -> None:
    target = tmp_path / "a:b" / "a.mp4"
    with draw_video(target, 10) as draw:
        for seconds in (0, 0.1, 0.5):
            draw(Frame(0, seconds, np.full((481, 601, 3), int(400 * seconds), np.uint8)), [])
    with open_video(str(target), 1000) as reader:
        shades = [int(frame.image.mean()) for frame in reader]
    np.testing.assert_allclose(shades, [0, 40, 40, 40, 40, 200], atol=4)
    with draw_video(tmp_path / "none.mp4", 10):
        pass
    with suppress(ZeroDivisionError), draw_video(tmp_path / "none.mp4", 10) as draw:
        draw(Frame(0, 0, GREEN), [])
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["a:b"]
    assert len(list(target.parent.iterdir())) == 1


def test_the_frames_are_csv(arcage: Callable[..., Any], tmp_path: Path) -> None:
    path = write_video(tmp_path / "ä, b.mp4", grey(10))
    table = tmp_path / "frames.csv"
    result = arcage("predict", path, "--rate", 1000, "--frames", table, "--out", tmp_path / "rows.csv")
    assert result.exit_code == 0
    seen = rows(table)
    assert [row["frame"] for row in seen] == [str(n) for n in range(10)]
    assert seen[3] == {
        "path": str(path),
        "frame": "3",
        "seconds": "0.120",
        "person": "0",
        "x1": "10.0",
        "y1": "20.0",
        "x2": "60.0",
        "y2": "90.0",
        "det_score": "0.950",
        "age": "30.0",
        "age_low": "25.0",
        "age_high": "37.5",
        "gender": "female",
        "p_female": "0.8999",
        "familiarity": "",
    }
    result = arcage("predict", path, "--frames", tmp_path / "frames.txt")
    assert result.exit_code == 2
    assert "must end in .csv" in result.stderr


def test_the_size_may_change_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.mp4"
    with draw_video(target, 30) as draw:
        for frame in read.Reader(ListCamera((0, 640), (0.04, 320), (0.07, 900)), 30):
            draw(frame, [])
    with open_video(str(target), 1000) as reader:
        assert {frame.image.shape for frame in reader} == {(64, 640, 3)}
        assert reader.count == 3
    monkeypatch.setattr(read, "MAX_PIXELS", 64 * 300)
    with pytest.raises(ImageError, match="too large: 20,480 pixels a frame"):
        list(read.Reader(ListCamera((0, 96), (0.1, 320)), 30))


def test_timestamps_of_years_do_not_fill_the_disk(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with draw_video(target, 5) as draw:
        for seconds in (0, 1e9, 1e9 + 0.4):
            draw(Frame(0, seconds, GREEN), [])
    with open_video(str(target), 1000) as reader:
        assert reader.count == 1 + 10 * 5 + 1 + 2


def test_a_full_disk_leaves_the_old_video(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with draw_video(target, 25) as draw:
        draw(Frame(0, 0, GREEN), [])
    old = target.read_bytes()
    rng = np.random.default_rng(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def draw_noise() -> None:
        with draw_video(target, 25) as draw:
            for n in range(20):
                draw(Frame(n, n / 25, rng.integers(0, 255, GREEN.shape, np.uint8)), [])

    try:
        # As on a full disk, no file of this process can grow further.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(OutputError, match="cannot write"):
            draw_noise()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert target.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
