"""Records of packs: read back as written, and damaged ones refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from arcage.embedder.packs.record import (
    DIGESTS_FILE,
    RECORD_FILE,
    bundled_pack,
    read_digests,
    read_pack,
    write_digests,
    write_record,
)
from arcage.errors import ModelError

pytestmark = pytest.mark.usefixtures("bundled")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    pack = bundled_pack()
    (tmp_path / RECORD_FILE).write_text(write_record(pack))
    assert read_pack(tmp_path) == dataclasses.replace(pack, folder=tmp_path)


def test_digests_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_digests(tmp_path) is None
    write_digests(tmp_path, "https://example.org/x.zip", "0" * 64, {"a.onnx": "1" * 64})
    assert read_digests(tmp_path) == {"a.onnx": "1" * 64}
    (tmp_path / DIGESTS_FILE).write_text("{}")
    with pytest.raises(ModelError, match=f"remove {tmp_path} and run `arcage models fetch {tmp_path.name}`"):
        read_digests(tmp_path)


def test_a_damaged_bundled_pack_says_how_to_restore_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = bundled_pack()
    lost = dataclasses.replace(pack.detector, file="lost.onnx")
    with pytest.raises(ModelError, match="pip install --force-reinstall --no-deps arcage"):
        pack.read(lost)
    monkeypatch.setattr("arcage.embedder.packs.record.BUNDLED_FOLDER", tmp_path)
    for text in (None, "", "{", "{}", '{"models": [{"name": 1}]}', "\xff"):
        if text is not None:
            (tmp_path / "pack.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(ModelError, match="reinstall"):
            bundled_pack()
