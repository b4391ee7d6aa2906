"""Messages on standard error, and records on standard output."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from arcage.console.messages import print_json, print_records, reporter, say, use_flags, with_flags


@dataclass
class Record:
    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.name}: {self.size}"


def test_parameters_are_written_as_options(capsys: pytest.CaptureFixture[str]) -> None:
    use_flags({"holdout": "--holdout", "base": "--from"})
    assert with_flags("give `base` or `holdout` 0.2, not `heads`; see `arcage fit`") == (
        "give --from or --holdout 0.2, not `heads`; see `arcage fit`"
    )
    say("`holdout`")
    reporter(False)("`base`")
    reporter(True)("nothing")
    assert capsys.readouterr() == ("", "--holdout\n--from\n")
    use_flags({})
    assert with_flags("`holdout`") == "`holdout`"


def test_records(capsys: pytest.CaptureFixture[str]) -> None:
    records = [Record("a", 1), Record("b", 2)]
    assert print_records(iter(records)) == records
    assert capsys.readouterr().out == "a: 1\nb: 2\n"
    assert print_records(iter(records), as_json=True) == records
    assert json.loads(capsys.readouterr().out) == [{"name": "a", "size": 1}, {"name": "b", "size": 2}]
    print_json({"records": records})
    assert json.loads(capsys.readouterr().out)["records"][1]["size"] == 2


def test_what_nobody_sees_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J", "b\nc")
    print_records([Record("\u202egpj\n", 1)])
    print_json({"name": "\x7f\x1b"})
    out, err = capsys.readouterr()
    assert err == "a\\x1b[2J\nb\\nc\n"
    assert out.splitlines()[0] == r"\u202egpj\n: 1"
    assert out.splitlines()[2] == r'  "name": "\u007f\u001b"'
