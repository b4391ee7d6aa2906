"""Records of packs: read back as written, and damaged ones refused."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "'name' has the wrong type"),
        ({"research_only": "false"}, "'research_only' has the wrong type"),
        ({"more": 1}, "'more' is unknown"),
        ({"models": {}}, "'models' has the wrong type"),
        ({"models": []}, "one to 8 embedders"),
        ({"models": [[]]}, "something else than an object"),
        ({"models": [{}]}, "'name' is missing"),
    ],
)
def test_a_record_of_another_form_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    record = json.loads(write_record(bundled_pack()))
    (tmp_path / RECORD_FILE).write_text(json.dumps({**record, **change}))
    with pytest.raises(ModelError, match=message):
        read_pack(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": True}, "'dimension' has the wrong type"),
        ({"dimension": 512.0}, "'dimension' has the wrong type"),
        ({"dimension": 1 << 40}, "no dimension of 1 to 65,536"),
        ({"dimension": -1}, "no dimension"),
        ({"dimension": None}, "no dimension"),
        ({"levels": "t57"}, "'levels' has the wrong type"),
        ({"levels": [1]}, "'levels' has the wrong type"),
        ({"sha256": "0" * 63}, "no SHA-256"),
        ({"sha256": None}, "'sha256' has the wrong type"),
        ({"kind": "other"}, "a pack is a detector"),
        ({"file": "../x.onnx"}, "not the name of a file"),
        ({"file": "/dev/zero"}, "not the name of a file"),
        ({"file": ".."}, "not the name of a file"),
        ({"file": ""}, "not the name of a file"),
        ({"file": "a\0b"}, "not the name of a file"),
    ],
)
def test_a_model_of_another_form_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    record = json.loads(write_record(bundled_pack()))
    record["models"][-1].update(change)
    (tmp_path / RECORD_FILE).write_text(json.dumps(record))
    with pytest.raises(ModelError, match=message):
        read_pack(tmp_path)


GRAPH = ["a.onnx", "0" * 64]


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        ({}, "'graphs' has the wrong type"),
        ([1, 2], "'graphs' has the wrong type"),
        (["ab", "cd"], "'graphs' has the wrong type"),
        ([GRAPH, ["a.onnx"]], "'graphs' has the wrong type"),
        ([GRAPH, ["a.onnx", None]], "'graphs' has the wrong type"),
        ([GRAPH], "'graphs' are two"),
        ([GRAPH] * 3, "'graphs' are two"),
        ([GRAPH, ["../a.onnx", "0" * 64]], "not the name of a file"),
        ([["", "0" * 64], GRAPH], "not the name of a file"),
        ([GRAPH, ["a.onnx", "0" * 63]], "no SHA-256"),
    ],
)
def test_networks_of_another_form_are_refused(tmp_path: Path, graphs: Any, message: str) -> None:
    record = json.loads(write_record(bundled_pack()))
    record["models"][0]["graphs"] = graphs
    (tmp_path / RECORD_FILE).write_text(json.dumps(record))
    with pytest.raises(ModelError, match=message):
        read_pack(tmp_path)


def test_a_record_keeps_the_networks_of_its_detector(tmp_path: Path) -> None:
    pack = bundled_pack()
    assert [file for file, _ in pack.detector.graphs] == ["yunet.onnx", "yunet_mirrored.onnx"]
    (tmp_path / RECORD_FILE).write_text(write_record(pack))
    assert read_pack(tmp_path).models == pack.models
    assert set(pack.files) == {m.file for m in pack.models} | {"yunet.onnx", "yunet_mirrored.onnx"}
    for file, sha256 in pack.files.items():
        assert len(pack.read_file(file, sha256)) == (pack.folder / file).stat().st_size
    # Records of versions without them are still read.
    record = json.loads(write_record(pack))
    del record["models"][0]["graphs"]
    (tmp_path / RECORD_FILE).write_text(json.dumps(record))
    assert read_pack(tmp_path).detector == dataclasses.replace(pack.detector, graphs=())


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1e999}', '{"files": {}, "files": {}}', "[]", "3"])
@pytest.mark.parametrize("file", [RECORD_FILE, DIGESTS_FILE])
def test_hostile_json_is_refused(tmp_path: Path, text: str, file: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(ModelError, match="cannot read"):
        (read_pack if file == RECORD_FILE else read_digests)(tmp_path)


def test_a_record_with_a_pipe_or_a_device_is_refused(tmp_path: Path) -> None:
    pack = dataclasses.replace(bundled_pack(), folder=tmp_path)
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs pipes")
    os.mkfifo(tmp_path / pack.detector.file)
    (tmp_path / pack.embedders[0].file).symlink_to("/dev/zero")
    for record in pack.models[:2]:
        with pytest.raises(ModelError, match=r"cannot read .*not a regular file.*put the files of the pack"):
            pack.read(record)


@pytest.mark.parametrize("files", [{"a.onnx": 1}, ["a.onnx"], None])
def test_digests_of_another_form_are_refused(tmp_path: Path, files: Any) -> None:
    (tmp_path / DIGESTS_FILE).write_text(json.dumps({"files": files}))
    with pytest.raises(ModelError, match="arcage models fetch"):
        read_digests(tmp_path)
