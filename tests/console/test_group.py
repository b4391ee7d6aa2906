"""Errors become messages and exit codes; options keep their old names for a while."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from arcage.console.group import commands
from arcage.errors import ForeignFileError, HeadsError, OutputError, UsageError


def invoke(raised: BaseException | None, *arguments: str) -> Any:
    app = commands("Test.")

    @app.command()
    def run(
        min_confidence: float = 0.5,
        allow_host: Annotated[str, typer.Option("--allow-host")] = "",
    ) -> None:
        if raised is not None:
            raise raised
        typer.echo(f"{min_confidence} {allow_host}")

    @app.command()
    def other(faces: str = "all") -> None:
        typer.echo(faces)

    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("leave out `allow_host`"), 2, "arcage: leave out --allow-host\n"),
        (UsageError("see `holdout` and `arcage fit`"), 2, "arcage: see `holdout` and `arcage fit`\n"),
        (HeadsError("damaged"), 3, "arcage: damaged\n"),
        (HeadsError("a\x1b", "b\nc"), 3, "arcage: a\\x1b\nb\\nc\n"),
        (OutputError("disk full"), 3, "arcage: disk full\n"),
        (
            ForeignFileError("a.csv"),
            2,
            "arcage: a.csv was not written by arcage, and would be replaced: choose another name, or replace "
            "it with --overwrite\n",
        ),
        (ImportError("no cv2"), 3, "arcage: a library cannot be loaded: no cv2; see `arcage doctor`\n"),
        (BrokenPipeError(), 0, ""),
        (KeyboardInterrupt(), 130, "arcage: interrupted; finished results are kept\n"),
    ],
)
def test_errors(error: BaseException, code: int, words: str) -> None:
    done = invoke(error, "run")
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", words)


def test_other_errors_keep_their_traceback() -> None:
    done = invoke(ValueError("a bug"), "run")
    assert isinstance(done.exception, ValueError)


@pytest.mark.parametrize(
    "arguments", [["--min-sure", "0.9"], ["--min-sure=0.9"], ["--min-sure=0.1", "--min-sure=0.9"]]
)
def test_an_old_name_warns_once(arguments: list[str]) -> None:
    done = invoke(None, "run", *arguments)
    assert (done.exit_code, done.stdout) == (0, "0.9 \n")
    assert done.stderr == (
        "arcage: --min-sure is now called --min-confidence; the old name will be removed\n"
    )


def test_old_names_are_hidden() -> None:
    assert "--min-sure" not in invoke(None, "run", "--help").stdout
    assert invoke(None, "run", "--min-confidence", "0.9").stderr == ""
    done = invoke(None, "other", "--min-sure", "0.9")
    assert (done.exit_code, done.stderr) == (
        2,
        "arcage: no such option --min-sure; see `arcage other --help`\n",
    )
    assert invoke(None, "run", "--allow-host", "--min-sure").stdout == "0.5 --min-sure\n"
