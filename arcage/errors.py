"""Exceptions. Every message says what went wrong and what to do next.

Messages name parameters in backquotes, such as `holdout`. The command line writes them as its options,
--holdout, prints the message without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations


class ArcageError(Exception):
    """Base class of all arcage errors (exit code 3)."""

    exit_code = 3

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message: the arguments. A line end inside of one is from the text of a file."""
        return tuple(map(str, self.args))


class UsageError(ArcageError):
    """The arguments are invalid (exit code 2)."""

    exit_code = 2


class InputError(UsageError, TypeError, ValueError):
    """A Python value is not an image that arcage takes: its type, data type or shape is wrong."""


class ForeignFileError(UsageError):
    """The output would replace a file that arcage did not write."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} was not written by arcage, and would be replaced: choose another name")


class ImageError(ArcageError):
    """An image cannot be read (exit code 1).

    In a run over several images, it becomes a row with the status ``unreadable``.
    """

    exit_code = 1


class NoFaceError(ImageError, ValueError):
    """Images have no face, or cannot be read, where each needs a descriptor."""


class ImageHereError(ImageError):
    """An image cannot be read on this machine at this time. The image may be valid, so it is not cached."""


class ImageMemoryError(ImageHereError):
    """There is not enough memory to decode an image."""


class ImageExtraError(ImageHereError):
    """The package that decodes an image is not installed."""


class RemoteError(ArcageError):
    """A server cannot be reached or refuses the credentials, or the package for its protocol is missing."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message
        """The cause without advice, for the row of an image."""


class LibraryError(ArcageError):
    """A package that arcage depends on is installed, and cannot be loaded on this machine."""


class ModelError(ArcageError):
    """A model file is missing, damaged or not supported."""


class DeviceError(ArcageError):
    """The requested device is not available."""


class DeviceMemoryError(DeviceError):
    """The device has not enough memory for a batch."""


class CacheError(ArcageError):
    """The descriptor cache cannot be read or written."""


class HeadsError(ArcageError):
    """Heads cannot be read, are damaged, or were fitted on descriptors of another pipeline."""


class OutputError(ArcageError):
    """An output file or folder cannot be written."""
