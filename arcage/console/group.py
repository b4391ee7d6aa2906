"""The Typer group of the commands: errors become messages and exit codes."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import typer
from typer.core import TyperGroup

from arcage.console.messages import say, usage_message, use_flags
from arcage.errors import ArcageError, ForeignFileError, UsageError
from arcage.process import interrupt

FAILED, ENVIRONMENT, INTERRUPTED = 1, 3, interrupt.EXIT_CODE

RENAMED = {"head": "kind", "min-sure": "min-confidence", "rest": "reference"}
"""Old names of options, which still work, and their new names."""

_CallError: type[Exception] = typer.BadParameter.__bases__[0]
"""Exceptions of Typer for wrong options or arguments."""


class Commands(TyperGroup):
    """A group of commands that turns exceptions into messages and exit codes.

    Errors of the library have no traceback; other exceptions keep theirs.
    """

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _errors_reported(), _completion_installed(list(args)), _typer_output_checked():
            return super().make_context(info_name, args, parent, **extra)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command: Any = super().get_command(ctx, cmd_name)
        if command is None:
            return None
        for parameter in command.params:
            parameter.process_value = partial(_without_underscores, parameter)
        options = {parameter.name: parameter.opts[-1] for parameter in command.params}
        renamed = {old: new for old, new in RENAMED.items() if f"--{new}" in options.values()}
        if renamed:
            settings = {"token_normalize_func": _renaming(renamed)}
            command.context_settings = {**command.context_settings, **settings}
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        found: Any = super().resolve_command(ctx, args)
        options = (one for one in found[1].params if one.param_type_name == "option")
        use_flags({one.name.rstrip("_"): one.opts[0] for one in options})
        return found

    def invoke(self, ctx: Any) -> Any:
        with _errors_reported(), _typer_output_checked():
            return super().invoke(ctx)


def commands(help_: str, **settings: Any) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(cls=Commands, help=help_, no_args_is_help=True, rich_markup_mode=None, **settings)


def _renaming(renamed: dict[str, str]) -> Callable[[str], str]:
    """Return a function that gives an option's new name, and warns once for each old name in use."""
    warned: set[str] = set()

    def rename(name: str) -> str:
        new = renamed.get(name)
        if new is None:
            return name
        # Shell completion parses the line too.
        if name not in warned and "_ARCAGE_COMPLETE" not in os.environ:
            warned.add(name)
            say(f"arcage: --{name} is now called --{new}; the old name will be removed")
        return new

    return rename


@contextmanager
def _errors_reported() -> Iterator[None]:
    try:
        yield
    except _CallError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        say(f"arcage: {usage_message(error)}")
        raise typer.Exit(UsageError.exit_code) from None
    except ForeignFileError as error:
        say(f"arcage: {error}, or replace it with --overwrite")
        raise typer.Exit(error.exit_code) from None
    except ArcageError as error:
        first, *others = error.lines or ("",)
        say(f"arcage: {first}", *others)
        raise typer.Exit(error.exit_code) from None
    except (ImportError, SystemError) as error:
        # Some libraries raise this if an interrupt arrives while they are imported.
        if interrupt.is_stopping():
            raise _interrupted() from None
        if isinstance(error, SystemError):
            raise
        say(f"arcage: a library cannot be loaded: {error}; see `arcage doctor`")
        raise typer.Exit(ENVIRONMENT) from None
    except BrokenPipeError:
        # The reader closed the pipe, as in `arcage predict ... | head`, which is not an error.
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        raise _interrupted() from None


@contextmanager
def _typer_output_checked() -> Iterator[None]:
    """Raise OutputError if the output of Typer, such as --help, cannot be written."""
    try:
        yield
    except OSError as error:
        from arcage.output.formats import raise_stdout_error

        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "echo":
            raise_stdout_error(error)
        raise


@contextmanager
def _completion_installed(arguments: list[str]) -> Iterator[None]:
    """Raise ArcageError if Typer cannot write the start-up file of the shell."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # Typer's exceptions that end a command are RuntimeErrors too.
        no_home = type(error) is RuntimeError
        if "--install-completion" not in arguments or not (no_home or isinstance(error, OSError)):
            raise
        why = "this user has no home folder" if no_home else str(error)
        raise ArcageError(
            f"the completion cannot be installed: {why}; --show-completion prints it, to be added to the "
            "shell's start-up file"
        ) from None


def _without_underscores(parameter: Any, context: Any, text: Any) -> Any:
    """Convert a value like Typer, but refuse 1_0, which Python reads as 10."""
    value = type(parameter).process_value(parameter, context, text)
    if isinstance(value, int | float) and isinstance(text, str) and "_" in text:
        raise typer.BadParameter("not a number", ctx=context, param=parameter)
    return value


def _interrupted() -> typer.Exit:
    say("arcage: interrupted; finished results are kept")
    return typer.Exit(INTERRUPTED)
