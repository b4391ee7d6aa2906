"""The table on different terminals."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import face, image
from rich.cells import cell_len

from arcage.output.table import wants_colour, write_table
from arcage.types import Prediction

FACE = Prediction("a/b.jpg", 0, 2, 0, 0, 9, 9, 0.99, 34.25, 27, 42, "female", 0.97, "ok", None)
NO_FACE = Prediction("c.jpg", None, 0, *[None] * 10, "no_face", None)  # type: ignore[arg-type]
UNREADABLE = replace(NO_FACE, path="d.jpg", status="unreadable", error="empty file")
LONG = "in/a folder/of photos/with a/long name.jpg"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def lines(width: int, *rows: Prediction) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        terminal = Terminal()
        write_table(terminal)(rows)
        return terminal.getvalue().splitlines()

    return lines


def test_a_long_name_loses_its_start(table: Callable[..., list[str]]) -> None:
    assert table(70, replace(FACE, path=LONG), FACE, NO_FACE, UNREADABLE) == [
        "  age  90 %     gender        face     score  image",
        " 34.2  27-42    female 97 %   #0 of 2  0.99   .../with a/long name.jpg",
        " 34.2  27-42    female 97 %   #0 of 2  0.99   a/b.jpg",
        "    -  no face                                c.jpg",
        "    -  unreadable                             d.jpg: empty file",
    ]
    assert table(200, replace(FACE, path=LONG))[1].endswith(f"   {LONG}")


def test_a_narrow_terminal_has_fewer_columns(table: Callable[..., list[str]]) -> None:
    with_error = replace(UNREADABLE, path=LONG, error="not an image in a known format")
    assert table(60, replace(FACE, path=LONG), NO_FACE, UNREADABLE, with_error) == [
        "  age  90 %     gender        image",
        " 34.2  27-42    female 97 %   ...photos/with a/long name.jpg",
        "    -  no face                c.jpg",
        "    -  unreadable             d.jpg: empty file",
        "    -  unreadable             ...photos/with a/long name.jpg",
        "       not an image in a known format",
    ]


@pytest.mark.parametrize("width", [41, 60, 69, 70, 80, 132])
@pytest.mark.parametrize(
    "path", ["日本" * 40, "e\u0301" * 90, "é👍🏽" * 40, "\u202e\x1b[31m" * 20, "x" * 4000]
)
def test_no_line_is_wider_than_the_terminal(table: Callable[..., list[str]], path: str, width: int) -> None:
    for line in table(width, *(replace(row, path=path) for row in (FACE, NO_FACE, UNREADABLE))):
        assert cell_len(line) <= width
        assert line.isprintable()
    # Only as much is cut off as necessary, except for half a wide character or characters without width.
    assert cell_len(table(width, replace(FACE, path="日本" * 40))[1]) >= width - 1


def test_columns_stay_aligned_after_any_name(table: Callable[..., list[str]]) -> None:
    lines = table(80, replace(FACE, path="日本.jpg"), replace(FACE, path="é\n.jpg"), FACE)
    assert {line.index("0.99") for line in lines[1:]} == {lines[0].index("score")}
    assert [line[46:] for line in lines[1:]] == ["日本.jpg", "é\\n.jpg", "a/b.jpg"]


def test_errors_are_neutralised(table: Callable[..., list[str]]) -> None:
    assert table(80, replace(UNREADABLE, error="\x1b[2J\u202eno"))[1].endswith(": \\x1b[2J\\u202eno")


def test_names_are_complete_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    write_table(file)([replace(FACE, path=LONG)])
    assert file.getvalue().endswith(f"0.99   {LONG}\n")


@pytest.mark.parametrize(
    ("variables", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="TERM tells nothing there")
def test_colour_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, wanted: bool
) -> None:
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    file = Terminal() if terminal else io.StringIO()
    assert wants_colour(file) == wanted
    write_table(file)([FACE, NO_FACE])
    assert ("\x1b[1m 34.2\x1b[0m  27-42" in file.getvalue()) == wanted
    assert ("\x1b[33mno face" in file.getvalue()) == wanted
    assert ("\x1b" in file.getvalue()) == wanted


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
@pytest.mark.parametrize("colour", [True, False])
def test_on_a_real_terminal(tmp_path: Path, colour: bool) -> None:
    import fcntl
    import pty
    import struct
    import termios

    (tmp_path / "日本 é.jpg").write_bytes(image(face(33)))
    (tmp_path / "x\x1b[31m.jpg").write_bytes(image())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    environment = {**os.environ, "TERM": "xterm", **({} if colour else {"NO_COLOR": "1"})}
    fakes = Path(__file__).parents[1].joinpath("fakes.py")
    done = subprocess.run(
        [sys.executable, str(fakes), "predict", "."],
        stdout=theirs,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert b"2 images" in done.stderr
    os.close(theirs)
    printed = os.read(ours, 10_000).decode()
    os.close(ours)
    bold, yellow, end = ("\x1b[1m", "\x1b[33m", "\x1b[0m") if colour else ("", "", "")
    header, *rows = printed.split("\r\n")[:-1]
    assert header == "  age  90 %     gender        image"
    assert rows[0] == f"    -  {yellow}no face              {end}  ./x\\x1b[31m.jpg"
    assert rows[1].startswith(f"{bold} 33.0{end}  ")
    assert rows[1].endswith("  ./日本 é.jpg")


@pytest.mark.parametrize("level", [99.5, 33.3333])
def test_another_level_and_probabilities_have_headings(level: float) -> None:
    table = io.StringIO()
    row = replace(FACE, more={"p_under_18": 0.03, "p_under_25": None})
    write_table(table, ["p_under_18", "p_under_25"], level)([row, NO_FACE])
    header, first, second = table.getvalue().splitlines()
    assert header.split("  ")[1:3] == ["age", f"{level:g} %"]
    for heading, cell in (("under 18", "3 %"), ("under 25", "- ")):
        assert first[header.index(heading) :].startswith(cell)
    # Names begin in the same column.
    assert header.index("image") == first.index("a/b.jpg") == second.index("c.jpg")
