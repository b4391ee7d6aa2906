"""JSON files of labels: which tool wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from exported_labels import EXPORTS

from arcage.data.json_export import read_json_export
from arcage.errors import UsageError


def test_the_tool_is_recognised(tmp_path: Path) -> None:
    items = {
        name: read_json_export(EXPORTS / f"{name}.json")[0].item for name in ("label-studio", "cvat-coco")
    }
    assert items == {"label-studio": "task", "cvat-coco": "annotation"}
    assert len(read_json_export(EXPORTS / "label-studio-min.json")) == 4
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + (EXPORTS / "label-studio.json").read_bytes())
    assert len(read_json_export(marked)) == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "neither an export of Label Studio nor COCO"),
        ('[{"path": "a.jpg", "age": 3}]', "one object a line"),
        ('{"path": "a.jpg"}', "neither"),
        ("3", "neither"),
        ('{"images": ', "cannot read the labels"),
        ("[" * 1000 + "]" * 1000, "nested"),
        ('[{"annotations": 1e999}]', "out of range"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        read_json_export(path)
