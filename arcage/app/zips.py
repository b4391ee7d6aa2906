"""Read the photos in an uploaded zip: in memory, within limits, without unpacking to disk."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from os.path import splitext

from arcage.errors import ArcageError, ImageError
from arcage.sources.suffixes import IMAGE_SUFFIXES

_DIRECTORY = 1 << 20
"""Maximum size of a zip's list of members, bytes. Python creates an object for each member before they can be
counted."""
_ENCRYPTED, _UTF8 = 0x1, 0x800

# Exceptions of zipfile and zlib for files that are not zips, or damaged.
_DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class ZipError(ArcageError):
    """The zip cannot be read, or holds no photo."""


class ZipTooLargeError(ZipError):
    """The zip exceeds a limit."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A member of a zip."""

    name: str
    """A label only: no file of this name is opened."""
    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    limit: int
    """Maximum size, bytes."""

    def read(self) -> bytes:
        """Return the encoded photo. Several threads may call this.

        Raises:
            ImageError: the member is encrypted, too large or damaged.
        """
        if self.member.flag_bits & _ENCRYPTED:
            raise ImageError("encrypted: create a zip without a password")
        # For other methods, zipfile unpacks whole blocks without a limit.
        if self.member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ImageError("packed by a method other than deflate: create an ordinary zip")
        if self.member.file_size > self.limit:
            raise ImageError(f"too large: {self.member.file_size:,} bytes, the limit is {self.limit:,}")
        try:
            with self.archive.open(self.member) as file:
                return file.read(self.limit)  # without a limit, more than the stated size could be unpacked
        except _DAMAGED:
            raise ImageError("damaged in the zip") from None


class _Upload(io.BytesIO):
    """Refuses to return a list of members that is too long."""

    opened = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.opened and size is not None and size > _DIRECTORY:
            raise ZipTooLargeError("this zip has too many members: split it")
        return super().read(size)


def photos_in(data: bytes, *, most: int, bytes_each: int, bytes_all: int) -> list[Photo]:
    """Return the photos of a zip, in the order in which ``arcage predict`` processes those of a folder.

    Hidden files and files without the suffix of an image are skipped, as in a folder.

    Args:
        data: the zip.
        most: maximum number of photos.
        bytes_each: maximum unpacked size of a photo; :meth:`Photo.read` refuses a larger one.
        bytes_all: maximum unpacked size of all photos, by the sizes that the zip states. zipfile does not
            unpack more than these.

    Raises:
        ZipTooLargeError: a limit is exceeded.
        ZipError: the zip cannot be read, or holds no photo.
    """
    upload = _Upload(data)
    try:
        archive = zipfile.ZipFile(upload)
    except _DAMAGED:
        raise ZipError("this is not a zip, or it is damaged: create it again") from None
    upload.opened = True
    # Not `is_dir`, which raises IndexError if a name is empty.
    members = [(_name(member), member) for member in archive.infolist() if member.filename[-1:] != "/"]
    photos = [Photo(name, archive, member, bytes_each) for name, member in members if _is_photo(name)]
    if not photos:
        raise ZipError("there is no photo in this zip")
    if len(photos) > most:
        raise ZipTooLargeError(
            f"{len(photos):,} photos in this zip, the limit is {most:,}: split it, or use "
            "`arcage predict` on the folder"
        )
    unpacked = sum(photo.member.file_size for photo in photos)
    if unpacked > bytes_all:
        raise ZipTooLargeError(
            f"the photos in this zip are {unpacked:,} bytes, the limit is {bytes_all:,}: split it"
        )
    return sorted(photos, key=lambda photo: photo.name.split("/"))


def _name(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & _UTF8:
        return member.filename
    try:
        # macOS writes UTF-8 without saying so.
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _is_photo(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts) or parts[0] == "__MACOSX"
    return not hidden and splitext(name)[1].lower() in IMAGE_SUFFIXES
