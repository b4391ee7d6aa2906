"""Packs are found by name and by folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from packs import write_pack

from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.insightface import find_insightface
from arcage.embedder.packs.record import RECORD_FILE, bundled_pack, write_record
from arcage.errors import UsageError


def test_a_pack_of_insightface(home: Path) -> None:
    write_pack(home / "buffalo_l")
    assert find_pack("buffalo_l") == find_insightface("buffalo_l") is not None


@pytest.mark.usefixtures("bundled")
def test_the_bundled_pack_and_a_folder_with_a_record(home: Path, tmp_path: Path) -> None:
    pack = bundled_pack()
    assert find_pack("compact") == pack
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / RECORD_FILE).write_text(write_record(pack))
    folder = tmp_path / "mine"
    assert find_pack(str(folder)) == dataclasses.replace(pack, folder=folder)


def test_a_missing_pack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="arcage models list") as caught:
        find_pack("buffalo_l")
    assert f"pack in {home};" in str(caught.value)
