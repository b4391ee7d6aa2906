"""Exit codes and messages of the errors."""

from __future__ import annotations

import inspect

import pytest

from arcage import errors

CODES = {
    "ArcageError": 3,
    "UsageError": 2,
    "ForeignFileError": 2,
    "InputError": 2,
    "ImageError": 1,
    "ImageHereError": 1,
    "ImageMemoryError": 1,
    "ImageExtraError": 1,
    "RemoteError": 3,
    "NoFaceError": 1,
    "LibraryError": 3,
    "ModelError": 3,
    "DeviceError": 3,
    "DeviceMemoryError": 3,
    "CacheError": 3,
    "HeadsError": 3,
    "OutputError": 3,
}


def test_every_error_has_its_exit_code() -> None:
    found = {name: kind.exit_code for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert found == CODES


@pytest.mark.parametrize("name", CODES)
def test_every_error_is_an_arcage_error_with_its_message(name: str) -> None:
    kind = getattr(errors, name)
    with pytest.raises(errors.ArcageError, match="a message") as caught:
        raise kind("a message")
    assert type(caught.value) is kind


def test_a_file_of_another_program_is_named() -> None:
    assert str(errors.ForeignFileError("a.csv")) == (
        "a.csv was not written by arcage, and would be replaced: choose another name"
    )


def test_the_reason_of_a_remote_error_is_its_message_unless_given() -> None:
    assert errors.RemoteError("no server: try later").reason == "no server: try later"
    assert errors.RemoteError("no server: try later", "no server").reason == "no server"


def test_the_lines_of_a_message() -> None:
    error = errors.UsageError("first", "second\nof a name")
    assert error.lines == ("first", "second\nof a name")
    assert str(error) == "first\nsecond\nof a name"
    assert str(errors.RemoteError("message", "reason")) == "message"
    assert (errors.UsageError().lines, str(errors.UsageError())) == ((), "")
