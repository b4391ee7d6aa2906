"""Messages on standard error."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer

from arcage.text import alternatives, visible, visible_json

Record = TypeVar("Record")
_NAME = re.compile(r"`(\w+)`")
_flags: dict[str, str] = {}


def use_flags(flags: dict[str, str]) -> None:
    """Set the options for :func:`with_flags`, by the name of the parameter, such as ``holdout``."""
    _flags.clear()
    _flags.update(flags)


def with_flags(text: str) -> str:
    """Replace names of parameters by options of the running command, such as ``--holdout``.

    The library writes its parameters in backquotes. A name that is not an option of the command stays.
    """
    return _NAME.sub(lambda found: _flags.get(found[1], found[0]), text)


def say(*lines: str) -> None:
    """Print a message on standard error; characters that cannot be seen are escaped.

    Args:
        lines: of the message. A line end inside of one is escaped too, because it is from the name of a file.
    """
    typer.echo("\n".join(visible(with_flags(line)) for line in lines), err=True)


def reporter(quiet: bool) -> Callable[[str], None]:
    """Return :func:`say`, or a function that does nothing."""
    return (lambda _: None) if quiet else say


def print_records(records: Iterable[Record], *, as_json: bool = False) -> list[Record]:
    """Print dataclasses on standard output: each as a line as soon as it is known, or all as JSON."""
    from arcage.output.formats import print_stdout

    printed = []
    for record in records:
        printed.append(record)
        if not as_json:
            print_stdout(visible(str(record)))
    if as_json:
        print_json(printed)
    return printed


def print_json(value: Any) -> None:
    """Print lists, dictionaries and dataclasses as JSON on standard output."""
    from arcage.output.formats import print_stdout

    print_stdout(visible_json(json.dumps(value, indent=2, default=dataclasses.asdict)))


def usage_message(error: Any) -> str:
    """Return Typer's usage error as one line, with the same words for every version of Typer."""
    name = getattr(error, "option_name", "")
    kind = type(error).__name__
    if kind == "MissingParameter":
        words = f"{_shown(error.param)} is missing"
    elif isinstance(error, typer.BadParameter) and error.param is not None:
        words = f"{_shown(error.param)} takes {_accepted(error) or 'another value'}"
    elif kind == "NoSuchOption":
        near = f" (did you mean {alternatives(error.possibilities)}?)" if error.possibilities else ""
        words = f"no such option {name}{near}"
    elif name:
        needed = re.search(r"requires (an?|\d+) ", error.message)
        several = needed and needed[1].isdecimal()
        values = f"{needed[1]} values" if needed and several else "a value"
        words = f"{name} needs {values}" if needed else f"{name} takes no value"
    else:
        words = error.format_message().removesuffix(".")
        words = words[:1].lower() + words[1:]
        words = re.sub(r"\. Did you mean:? (.*)\?$", r" (did you mean \1?)", words)
        words = re.sub(r"^got unexpected extra arguments?\S* \((.*)\)$", r"too many arguments: \1", words)
    if error.ctx is None:
        return words
    command = " ".join(["arcage", *error.ctx.command_path.split()[1:]])
    return f"{words}; see `{command} --help`"


def _shown(parameter: Any) -> str:
    """Return the name of an option or an argument as in its help."""
    shown: str = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.metavar
    return shown


def _accepted(error: Any) -> str:
    """Describe the values that an option accepts, from its declaration."""
    declared = get_type_hints(inspect.unwrap(error.ctx.command.callback), include_extras=True)
    kind, info = get_args(declared[error.param.name])
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]
    if get_origin(kind) is list:  # Repeatable: the message is about one value.
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return alternatives(get_args(kind))
    number = {int: "a whole number", float: "a number"}.get(kind, "")
    if not number or info.min is None:
        return number
    if info.max is None:
        return f"{number} of {info.min:g} or more"
    return f"{number} from {info.min:g} to {info.max:g}"
