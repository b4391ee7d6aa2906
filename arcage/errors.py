"""Errors that a user can act on. Each message says what went wrong and what to do next.

The command line prints the message without a traceback and leaves with ``exit_code``.
"""

from __future__ import annotations


class ArcageError(Exception):
    """Base of everything that arcage raises on purpose: the environment stands in the way."""

    exit_code = 3


class UsageError(ArcageError):
    """The request makes no sense as it stands (exit code 2)."""

    exit_code = 2


class ForeignFileError(UsageError):
    """A result would replace a file that arcage did not write."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} was not written by arcage, and would be replaced: choose another name")


class ImageError(ArcageError):
    """One image cannot be read. It becomes a row with the status ``unreadable``, never an abort."""

    exit_code = 1


class ImageHereError(ImageError):
    """One image cannot be read on this machine, as it is now. It tells nothing of the image: never cached."""


class ImageMemoryError(ImageHereError):
    """There is not enough memory for one image."""


class ImageExtraError(ImageHereError):
    """What decodes one image is not installed."""


class RemoteError(ArcageError):
    """Images behind a URL cannot be had at all: no network, no credentials, no package for it."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message
        """The reason only, for the row of an image."""


class ModelError(ArcageError):
    """A model file is missing, damaged or of a form that arcage does not know."""


class DeviceError(ArcageError):
    """The device that was asked for cannot be had."""


class CacheError(ArcageError):
    """The descriptor cache cannot be read or written."""


class HeadsError(ArcageError):
    """Heads are damaged, or were fitted on descriptors of another pipeline."""


class OutputError(ArcageError):
    """A result cannot be written."""
