"""Results of a run are written as they come, and kept after an interrupt."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import face, image

from arcage.errors import ArcageError, CacheError, DeviceError
from arcage.output.formats import write_file
from arcage.prediction.write import write_predictions
from arcage.predictor import Predictor
from arcage.sources.own_faces import own_faces
from arcage.sources.source import Source
from arcage.types import Prediction

SOURCES = [Source("a.jpg", "a.jpg", data=image(face(20), face(30))), Source("b.jpg", "b.jpg", data=image())]


def paths(file: Path) -> list[str]:
    return [row["path"] for row in csv.DictReader(file.read_text().splitlines())]


def test_rows_page_and_progress(fake: None, tmp_path: Path) -> None:
    added: list[tuple[str, int]] = []
    calls: list[str] = []

    @contextmanager
    def page() -> Iterator[Callable[[Source, Sequence[Prediction]], None]]:
        yield lambda source, rows: added.append((source.path, len(rows)))
        calls.append("page closed")

    summary = write_predictions(
        Predictor().stream(SOURCES),
        write_file(tmp_path / "out.csv"),
        page=page(),
        progress=lambda: calls.append("image"),
    )
    assert (summary.ok, summary.no_face, summary.faces, summary.last) == (1, 1, 2, "b.jpg")
    assert added == [("a.jpg", 2), ("b.jpg", 1)]
    assert calls == ["image", "image", "page closed"]
    assert paths(tmp_path / "out.csv") == ["a.jpg", "a.jpg", "b.jpg"]


def test_own_boxes_are_counted(fake: None, tmp_path: Path) -> None:
    """One that is outside of its image has no face that could be confirmed."""
    boxes = own_faces([[0, 0, 10, 20], [900, 0, 910, 20], [0, 0, 10, 30]])
    sources = [replace(SOURCES[0], faces=boxes), replace(SOURCES[1], faces=own_faces([]))]
    results = [
        (source, [replace(row, det_score=0.0) for row in rows])
        for source, rows in Predictor().stream(sources, faces_from="boxes")
    ]
    for order in (1, -1):  # the outer box first, or not
        given = ((source, rows[::order]) for source, rows in results)
        summary = write_predictions(given, write_file(tmp_path / "out.csv"))
        assert (summary.ok, summary.no_face, summary.faces) == (1, 1, 3)
        assert (summary.unconfirmed, summary.without_box) == (2, 1)


def test_finished_rows_are_kept_after_an_interrupt(fake: None, tmp_path: Path) -> None:
    closed: list[bool] = []

    def interrupted() -> Generator[tuple[Source, list[Prediction]]]:
        try:
            yield next(iter(Predictor().stream(SOURCES)))
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        write_predictions(interrupted(), write_file(tmp_path / "out.csv"))
    assert paths(tmp_path / "out.csv") == ["a.jpg", "a.jpg"]
    assert closed == [True]


@pytest.mark.parametrize("error", [DeviceError, CacheError, ArcageError])
@pytest.mark.parametrize("finished", [0, 1])
def test_finished_rows_are_kept_after_an_error(
    fake: None, tmp_path: Path, finished: int, error: type[ArcageError]
) -> None:
    (tmp_path / "out.csv").write_text("path\nold\n")

    def failing() -> Generator[tuple[Source, list[Prediction]]]:
        yield from list(Predictor().stream(SOURCES))[:finished]
        raise error("not enough memory")

    with pytest.raises(error, match="memory"):
        write_predictions(failing(), write_file(tmp_path / "out.csv"))
    assert paths(tmp_path / "out.csv") == (["a.jpg", "a.jpg"] if finished else ["old"])


def test_an_error_leaves_the_old_file(fake: None, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")

    def broken() -> Generator[tuple[Source, list[Prediction]]]:
        yield next(iter(Predictor().stream(SOURCES)))
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        write_predictions(broken(), write_file(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == "old"
