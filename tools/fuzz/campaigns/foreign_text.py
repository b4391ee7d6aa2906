"""Names with any characters, through every format that arcage writes and reads."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from arcage.data.tables import read_table
from arcage.output.formats import open_text, write_file
from arcage.output.registry import FormatName
from arcage.output.table import write_table
from arcage.report.predictions_page import write_page
from arcage.sources.source import Source
from arcage.text import code_block, code_span, markdown, visible
from arcage.types import Prediction
from tools.fuzz.campaign import Case, SilentChange, Verdict

PIECES = [
    *"=+-@'\"\t\r\n,;|&<>`*_[]()!#\\/ $%\x00\x1b\x7f\x85\x9b\xa0\xad",
    *"\u034f\u061c\u115f\u200b\u200d\u200f\u2028\u202e\u2066\u2800\u3000\u3164\ufe0f\ufeff＝＋－＠\U000e0041",
    *[
        "a",
        "é",
        "日本",
        "😀",
        ".jpg",
        "\x1b]0;x\x07",
        "<script>",
        "</title>",
        "-->",
        "![a](b)",
        "```",
        "=1+1",
    ],
]
ROW = Prediction(
    *("", 0, 1, -1.5, 2.0, 30.0, 40.0, 0.9, 34.2, 27.0, 42.0, "female", 0.97, "ok", None), image_size=(90, 60)
)


class ForeignText:
    """A path and a reason from a few random pieces."""

    name = "text"

    def prepare(self, folder: Path) -> None:
        self._csv, self._page = folder / "rows.csv", folder / "page.html"

    def case(self, rng: np.random.Generator) -> Case:
        path, error = (
            "".join(PIECES[int(n)] for n in rng.integers(len(PIECES), size=int(rng.integers(1, 9))))
            for _ in range(2)
        )
        # Tables of labels cannot hold these: slashes are separators, and dots and spaces alone are no name.
        path = f"x/{path.replace('/', '-').replace(chr(92), '-')}" if rng.integers(2) else _name(path)
        return Case(json.dumps([path, error]).encode(), truth=(path, error))

    def run(self, case: Case) -> Verdict:
        path, error = case.truth
        row = replace(ROW, path=path, error=error)
        self._check_csv(row)
        self._check_json(row)
        self._check_shown(row)
        self._check_page(row)
        return "answered"

    def _check_csv(self, row: Prediction) -> None:
        with write_file(self._csv) as add:
            add([row])
        text = self._csv.read_bytes().decode("utf-8")
        _, cells = csv.reader(io.StringIO(text, newline=""))
        for cell in cells:
            if len(cell) > 1 and cell[0] in "=+-@\t\r\n＝＋－＠" and not _is_number(cell):
                raise SilentChange(f"a spreadsheet would run {cell!r}")
        (place,) = read_table(self._csv).labels
        if place.path != row.path:
            raise SilentChange(f"{row.path!r} was read as {place.path!r}")

    def _check_json(self, row: Prediction) -> None:
        names: tuple[FormatName, ...] = ("jsonl", "json", "coco", "label-studio", "fiftyone")
        for name in names:
            text = io.StringIO()
            with open_text(text, name) as add:
                add([row])
            content = json.loads(text.getvalue())
            if _named(name, content) != (os.path.abspath(row.path) if name == "fiftyone" else row.path):
                raise SilentChange(f"{name}: {content}")
            if name == "jsonl" and content["error"] != row.error:
                raise SilentChange(f"{row.error!r} was written as {content['error']!r}")
            _check_visible(text.getvalue().replace("\n", ""))

    def _check_shown(self, row: Prediction) -> None:
        table = io.StringIO()
        write_table(table)([row])
        for line in table.getvalue().removesuffix("\n").split("\n"):
            _check_visible(line)
        if len(table.getvalue().splitlines()) != 2:
            raise SilentChange(f"the table has other lines: {table.getvalue()!r}")
        for shown in (markdown(row.path), code_span(row.path), visible(row.path)):
            _check_visible(shown)
        if "<" in markdown(row.path):
            raise SilentChange(f"HTML in Markdown: {markdown(row.path)!r}")
        first, *_, last = code_block(row.path).split("\n")
        if first != last or first in code_block(row.path).split("\n")[1:-1]:
            raise SilentChange(f"the block ends early: {code_block(row.path)!r}")

    def _check_page(self, row: Prediction) -> None:
        with write_page(self._page, row.path) as add:
            add(Source("a", "a", data=b""), [row])
        tags = _Tags()
        tags.feed(self._page.read_text("utf-8"))
        if tags.scripts != 2:
            raise SilentChange("the page has other scripts")
        (record,) = json.loads(tags.rows)
        if record["path"] != row.path:
            raise SilentChange(f"the page has {record['path']!r}")


def _named(format_: FormatName, content: Any) -> str:
    """Return the path in the JSON of a format."""
    if format_ == "label-studio":
        return str(content[0]["data"]["path"])
    if format_ == "fiftyone":
        return str(*content["labels"])
    if format_ == "coco":
        return str(content["images"][0]["file_name"])
    return str((content[0] if format_ == "json" else content)["path"])


class _Tags(HTMLParser):
    scripts = 0
    rows = ""
    _in_rows = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self._in_rows = tag == "script" and ("id", "rows") in attrs

    def handle_data(self, data: str) -> None:
        if self.scripts == 1 and self._in_rows:
            self.rows += data

    def handle_endtag(self, tag: str) -> None:
        self._in_rows = False


def _name(path: str) -> str:
    return path.replace("/", "-").replace("\\", "-").strip(". ") or "a"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii()


def _check_visible(text: str) -> None:
    if visible(text) != text or not text.isprintable():
        raise SilentChange(f"not visible: {text!r}")
