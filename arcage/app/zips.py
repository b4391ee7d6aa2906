"""The photos in a zip that somebody sent: read in memory, within bounds, never unpacked to the disk."""

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
"""Bytes of a zip's list of members. Python makes an object for each member, before it can be counted."""
_ENCRYPTED, _UTF8 = 0x1, 0x800

# What zipfile and zlib raise on what is no zip, or a damaged one.
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
    """What was sent is not a zip that is answered."""


class ZipTooLargeError(ZipError):
    """It holds more than is answered at once."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A member of a zip."""

    name: str
    """Only a label: nothing is opened by it."""
    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    limit: int

    def read(self) -> bytes:
        """Its bytes; safe from several threads. Raises :class:`ImageError`."""
        if self.member.flag_bits & _ENCRYPTED:
            raise ImageError("encrypted: make a zip without a password")
        # Of the others zipfile unpacks whole blocks, whatever they expand to.
        if self.member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ImageError("packed by a method other than deflate: make an ordinary zip")
        if self.member.file_size > self.limit:
            raise ImageError(f"too large: {self.member.file_size:,} bytes, the limit is {self.limit:,}")
        try:
            with self.archive.open(self.member) as file:
                return file.read(self.limit)  # unlimited, more would be unpacked than is stated
        except _DAMAGED:
            raise ImageError("damaged in the zip") from None


class _Upload(io.BytesIO):
    """Refuses to hand out a list of members that is too long."""

    opened = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.opened and size is not None and size > _DIRECTORY:
            raise ZipTooLargeError("this zip has too many members: make several of it")
        return super().read(size)


def photos_in(data: bytes, *, most: int, bytes_each: int, bytes_all: int) -> list[Photo]:
    """The photos of a zip, in the order in which ``arcage predict`` takes those of a folder.

    As there, hidden files and those whose suffix is not an image's are passed over.

    Args:
        data: the zip.
        most: photos that it may hold.
        bytes_each: of a photo, unpacked; a larger one is a row that says so.
        bytes_all: of all photos, unpacked. The sizes that the zip states are taken; zipfile unpacks no more.

    Raises:
        ZipTooLargeError: a limit is passed.
        ZipError: it cannot be read, or holds no photo.
    """
    upload = _Upload(data)
    try:
        archive = zipfile.ZipFile(upload)
    except _DAMAGED:
        raise ZipError("this is not a zip, or it is damaged: make it anew") from None
    upload.opened = True
    members = [(_name(member), member) for member in archive.infolist() if not member.is_dir()]
    photos = [Photo(name, archive, member, bytes_each) for name, member in members if _is_photo(name)]
    if not photos:
        raise ZipError("there is no photo in this zip")
    if len(photos) > most:
        raise ZipTooLargeError(
            f"{len(photos):,} photos in this zip, the limit is {most:,}: make several of it, or use "
            "`arcage predict` on the folder"
        )
    unpacked = sum(photo.member.file_size for photo in photos)
    if unpacked > bytes_all:
        raise ZipTooLargeError(
            f"the photos in this zip are {unpacked:,} bytes, the limit is {bytes_all:,}: make several of it"
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
