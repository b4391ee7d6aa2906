"""Labels for FiftyOne, and its own importer reading them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from predicted import FACES, ROWS

from arcage.output.formats import write_file

IMPORT = """
import json, sys
from fiftyone.utils.data.importers import FiftyOneImageDetectionDatasetImporter

read = {}
with FiftyOneImageDetectionDatasetImporter(labels_path=sys.argv[1]) as importer:
    for path, _, label in importer:
        read[path] = None if label is None else [
            [face.label, face.bounding_box, face.confidence, getattr(face, "age", None)]
            for face in label.detections
        ]
print(json.dumps(read))
"""
"""The importer that ``fiftyone.Dataset.from_dir`` uses for ``FiftyOneImageDetectionDataset``. It needs no
MongoDB, which fiftyone cannot install everywhere."""


def labels(path: Path, rows: Any = ROWS) -> dict[str, Any]:
    with write_file(path, "fiftyone", more=["p_under_18"]) as write:
        write(rows)
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert list(content) == ["labels"]
    return dict(content["labels"])


def test_detections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = labels(Path("a.json"))
    # MongoDB cannot store a name that is not UTF-8.
    names = [*dict.fromkeys(row.path for row in ROWS[:-1]), r"caf\udce9.jpg"]
    assert list(found) == [os.path.abspath(name) for name in names]
    first, no_face, unreadable, _ = found.values()
    assert (no_face, unreadable) == ([], None)
    assert [one["bounding_box"] for one in first] == [[0, 0.25, 0.25, 0.75], [0.5, 0.1, 0.25, 0.5]]
    assert first[0]["label"] == "face"
    assert first[0]["confidence"] == 0.988
    assert first[0]["attributes"]["p_under_18"] == 0.1235
    assert "age" not in first[1]["attributes"]


def test_no_rows_at_all(tmp_path: Path) -> None:
    assert labels(tmp_path / "a.json", []) == {}


@pytest.mark.oracle
def test_fiftyone_imports_it(tmp_path: Path) -> None:
    if find_spec("fiftyone") is None:
        pytest.skip("fiftyone is not installed")
    labels(tmp_path / "a.json")
    environment = {**os.environ, "HOME": str(tmp_path), "FIFTYONE_DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(tmp_path / "a.json")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    path, no_face, unreadable = (os.path.abspath(ROWS[i].path) for i in (0, 2, 3))
    assert json.loads(done.stdout.splitlines()[-1]) == {
        path: [["face", [0, 0.25, 0.25, 0.75], 0.988, 34.2], ["face", [0.5, 0.1, 0.25, 0.5], 0.75, None]],
        no_face: [],
        unreadable: None,
        os.path.abspath(r"caf\udce9.jpg"): [],
    }
    assert FACES[0].age == 34.25
