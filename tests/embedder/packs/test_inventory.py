"""Models on this machine are listed, and their files verified."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.inventory import verify_models
from arcage.embedder.packs.record import BUNDLED_FOLDER, DIGESTS_FILE
from arcage.errors import ModelError

Run = Callable[..., Any]


def test_a_changed_file_is_reported_and_not_loaded(fetched: Path, arcage: Run) -> None:
    path = fetched / "2d106det.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = arcage("models", "verify", "buffalo_s")
    assert done.exit_code == 3
    assert re.search(r"^damaged +buffalo_s .* 2d106det\.onnx$", done.stdout, re.MULTILINE)
    assert f"remove {fetched} and run `arcage models fetch buffalo_s`" in done.stderr
    with pytest.raises(ModelError, match="not what was fetched"):
        find_pack("buffalo_s")
    assert arcage("models", "fetch", "buffalo_s", "--yes").exit_code == 3


def replace_by_pipe(folder: Path) -> None:
    (folder / "det_500m.onnx").unlink()
    os.mkfifo(folder / "det_500m.onnx")


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (lambda folder: (folder / "det_500m.onnx").unlink(), "missing"),
        (lambda folder: (folder / "extra.onnx").write_bytes(b"x"), "foreign"),
        (lambda folder: (folder / DIGESTS_FILE).write_bytes(b"{"), "damaged"),
        (lambda folder: (folder / DIGESTS_FILE).write_bytes(b'{"files": 1}'), "damaged"),
        (lambda folder: os.truncate(folder / "det_500m.onnx", 1 << 40), "damaged"),
        pytest.param(replace_by_pipe, "damaged", marks=needs_pipes),
    ],
)
def test_other_damage(fetched: Path, damage: Callable[[Path], object], state: str) -> None:
    damage(fetched)
    (bad,) = [found for found in verify_models("buffalo_s") if found.state != "right"]
    assert bad.state == state
    assert bad.remedy
    with pytest.raises(ModelError):
        find_pack("buffalo_s")


def test_all_packs_are_verified(
    fetched: Path, home: Path, arcage: Run, bundled: None, members: dict[str, bytes]
) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "w600k_mbf.onnx").write_bytes(members["w600k_mbf.onnx"])
    done = arcage("models", "verify", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert {(one["pack"], one["state"]) for one in found} == {
        ("compact", "right"),
        ("buffalo_s", "right"),
        ("mine", "unrecorded"),
    }
    assert {one["sha256"] for one in found if one["pack"] == "mine"} == {
        hashlib.sha256(members["w600k_mbf.onnx"]).hexdigest()
    }
    assert {line.split()[1] for line in arcage("models", "verify", "compact").stdout.splitlines()} == {
        "compact"
    }
    assert arcage("models", "verify", "nothing").exit_code == 2


def test_a_damaged_bundled_pack(
    bundled: None, arcage: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bundled"
    broken.mkdir()
    for path in BUNDLED_FOLDER.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[: 1 << 20])
    monkeypatch.setattr("arcage.embedder.packs.record.BUNDLED_FOLDER", broken)
    done = arcage("models", "verify", "compact")
    assert done.exit_code == 3
    assert sum(line.startswith("damaged") for line in done.stdout.splitlines()) == 2
    assert "pip install --force-reinstall --no-deps arcage" in done.stderr
    (broken / "pack.json").unlink()
    assert arcage("models", "verify").exit_code == 3


def test_packs_that_can_be_downloaded_are_listed(fetched: Path, arcage: Run, bundled: None) -> None:
    done = arcage("models", "list")
    assert "buffalo_l (289 MB)" in done.stderr
    assert "non-commercial research only" in done.stderr
    assert "buffalo_s (" not in done.stderr
