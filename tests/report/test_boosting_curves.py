"""The errors of all boosting rounds, as JSON, plot and TensorBoard log."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from faces import faces, with_labels

from arcage.errors import OutputError
from arcage.heads.fit import fit_heads
from arcage.heads.settings import Settings
from arcage.heads.store import load_heads, save_heads
from arcage.report.boosting_curves import EVENTS, JSON, LOG, PNG, write_curves

LOSS = "mean absolute error (years)"
ROWS: list[dict[str, Any]] = [
    {
        "attribute": "age",
        "stage": "lower quantile",
        "loss": LOSS,
        "rounds": [0, 1, 2],
        "mean": [5.0, 4.5, 4.25],
        "folds": [[5.5, 4.5, 4.0], [4.5, 4.5, 4.5]],
    }
]


def test_curves_next_to_heads(tmp_path: Path) -> None:
    heads, _ = fit_heads(*with_labels(faces(300, 0)), fingerprint="f" * 16, settings=Settings(kind="linear"))
    save_heads(heads, tmp_path, "")
    pytest.importorskip("matplotlib")
    assert write_curves(tmp_path, ROWS) == ""
    assert json.loads((tmp_path / JSON).read_text("utf-8")) == {"curves": ROWS}
    picture = cv2.imread(str(tmp_path / PNG))
    assert picture is not None
    assert min(picture.shape[:2]) > 300
    assert load_heads(tmp_path).fingerprint == "f" * 16
    # Heads without curves remove the curves of earlier heads.
    write_curves(tmp_path, [])
    assert not (tmp_path / JSON).exists()
    assert not (tmp_path / PNG).exists()
    assert not list(tmp_path.glob(f"{EVENTS}/*/*"))
    assert load_heads(tmp_path).fingerprint == "f" * 16


def test_without_the_libraries_the_numbers_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("matplotlib", "tensorboardX")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "pip install 'arcage[report]'" in write_curves(tmp_path, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == [JSON]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / PNG).mkdir()
    with pytest.raises(OutputError, match="cannot remove old curves"):
        write_curves(tmp_path, ROWS)


@pytest.mark.oracle
def test_tensorboard_reads_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):  # the second fit takes the place of the first
        write_curves(tmp_path, [*ROWS, {**ROWS[0], "stage": "boosting"}])
    logs = sorted(path.relative_to(tmp_path / EVENTS) for path in (tmp_path / EVENTS).glob("*/*"))
    assert logs == [Path(run, LOG) for run in ("fold-1", "fold-2", "mean")]
    for run, errors in (("mean", ROWS[0]["mean"]), ("fold-2", ROWS[0]["folds"][1])):
        read = accumulator.EventAccumulator(str(tmp_path / EVENTS / run))
        read.Reload()
        assert read.Tags()["scalars"] == ["age/lower-quantile", "age/boosting"]
        events = read.Scalars("age/lower-quantile")
        assert [(event.step, event.value) for event in events] == list(zip([0, 1, 2], errors, strict=True))


def test_a_log_does_not_contain_the_host_name(tmp_path: Path) -> None:
    import socket

    pytest.importorskip("tensorboardX")
    write_curves(tmp_path, ROWS)
    data = (tmp_path / EVENTS / "mean" / LOG).read_bytes()
    assert socket.gethostname().encode() not in data
    assert str(tmp_path).encode() not in data
