"""Numbers, lists and foreign text in messages and files."""

from __future__ import annotations

import json

import pytest

from arcage.text import (
    alternatives,
    code_block,
    code_span,
    counted,
    csv_writer,
    format_number,
    from_spreadsheet,
    gender_text,
    html_text,
    markdown,
    percent,
    shortened,
    to_spreadsheet,
    visible,
    visible_json,
)


def test_percent() -> None:
    assert [percent(0.914), percent(0.9149, 1), percent(1)] == ["91 %", "91.5 %", "100 %"]


def test_format_number() -> None:
    assert [format_number("{:.2f}", 4.2), format_number("{:.1%}", 0.5)] == ["4.20", "50.0 %"]


def test_counted() -> None:
    assert [counted(n, "face") for n in (0, 1, 2, 1200)] == ["0 faces", "1 face", "2 faces", "1,200 faces"]
    assert counted(1, "image was", "images were") == "1 image was"


def test_alternatives() -> None:
    assert alternatives(["a"]) == "a"
    assert alternatives(["a", "b"]) == "a or b"
    assert alternatives(["a", "b", "c"]) == "a, b or c"


def test_shortened() -> None:
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c"], 2) == "a, b and 1 more"
    assert shortened(["a"] * 1202, 2) == "a, a and 1,200 more"


def test_gender_text() -> None:
    assert [gender_text(0.97), gender_text(0.5), gender_text(0.1)] == [
        "female 97 %",
        "female 50 %",
        "male 90 %",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe 日本 😀.jpg", "größe 日本 😀.jpg"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\r\n\tb\x7f\x9b", r"a\r\n\tb\x7f\x9b"),
        ("gpj.\u202eevil\u2066\u200f", r"gpj.\u202eevil\u2066\u200f"),
        ("\u200b\ufeff\xad\u2028\u3000\U000e0041", r"\u200b\ufeff\xad\u2028\u3000\U000e0041"),
        ("\u3164\u115f\u2800\ufe0f\u034f\U000e0100", r"\u3164\u115f\u2800\ufe0f\u034f\U000e0100"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_nobody_sees_is_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert visible(expected) == expected


def test_line_ends_of_a_table_can_be_kept() -> None:
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_escaped_json_has_the_same_values() -> None:
    hidden = [c for c in map(chr, range(0x110000)) if not c.isprintable() and not "\ud800" <= c <= "\udfff"]
    text = "".join([*hidden, "é\u3164"])
    shown = visible_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(shown) == [text]
    assert shown.isprintable()
    assert "é" in shown
    lines = json.dumps({"\u202e": 1}, ensure_ascii=False, indent=2)
    assert visible_json(lines) == lines.replace("\u202e", r"\u202e")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+a", "'+a"),
        ("-a.jpg", "'-a.jpg"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("''-\n", "'''-\n"),
        ("'a", "'a"),
        ("''", "''"),
        ("a=1", "a=1"),
        ("-", "-"),
        ("", ""),
    ],
)
def test_cells_that_a_spreadsheet_would_run(text: str, cell: str) -> None:
    assert to_spreadsheet(text) == cell
    assert from_spreadsheet(cell) == text


def test_markup_is_shown_as_it_is() -> None:
    assert markdown("<b onclick='x'>&") == "&lt;b onclick='x'&gt;&amp;"
    assert markdown("![a](b) *c* _d_ `e` \\") == r"!\[a\](b) \*c\* \_d\_ \`e\` " + "\\\\"
    assert markdown("a\n# b") == r"a\\n# b"
    assert html_text('<i>"\u202e') == r"&lt;i&gt;&quot;\u202e"
    assert code_span("a`<b>\n") == r"`` a`<b>\n ``"
    assert code_span("a") == "`a`"
    assert code_block("a\n```\n<b>") == "````\na\n```\n<b>\n````"


def test_cells_with_any_separator_are_quoted() -> None:
    lines: list[str] = []
    writer = csv_writer(lines.append)
    writer.writerows([["a;=1", 1], ["b\t=1", ""], ["c\rd", "e\nf"], ['"g"', "h, i"], ["plain", -1]])
    assert lines == ['"a;=1",1\n', '"b\t=1",\n', '"c\rd","e\nf"\n', '"""g""","h, i"\n', "plain,-1\n"]
