"""Where heads are: a folder, a packed file, or the address of one with its SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from arcage.errors import ArcageError, HeadsError, ImageError
from arcage.files import CACHE_VARIABLE, atomic_write, cache_home, make_folder, reason, sha256_bytes
from arcage.heads.packed import MAX_BYTES, SUFFIX
from arcage.readers.regular_file import check_regular
from arcage.sources.url import file_url_path, is_url, url_name

BUNDLED_NAMES = ("bundled", "wheel")
"""Names of the bundled heads in place of a folder; ``wheel`` is the older one."""

_PINNED = re.compile(r"(.+)#sha256=([0-9A-Fa-f]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HeadsPlace:
    """What a user named as heads."""

    path: str
    """A folder or file, or an address such as ``https://host/heads.arcage``."""
    sha256: str = ""
    """Expected SHA-256 of the file, lower case; empty if none is given."""

    @classmethod
    def parse(cls, name: str | Path) -> HeadsPlace:
        """Parse ``PATH``, or ``PATH#sha256=HEX``, where ``PATH`` may be a URL.

        Raises:
            HeadsError: the SHA-256 is malformed, or that of a URL is missing.
        """
        text = os.fspath(name)
        match = _PINNED.fullmatch(text)
        path, sha256 = (match[1], match[2].lower()) if match else (text, "")
        place = cls(file_url_path(path), sha256)
        if match and len(sha256) != 64:
            raise HeadsError(
                f"the sha256 of {path} has {len(sha256)} hexadecimal digits, not 64; `sha256sum FILE` prints "
                "it"
            )
        if place.is_remote and not sha256:
            raise HeadsError(
                f"heads from {path} need their sha256, which `arcage heads pack` printed: "
                f"{path}#sha256=<64 hexadecimal digits>"
            )
        return place

    @property
    def is_remote(self) -> bool:
        """Whether the heads are at a URL."""
        return is_url(self.path)

    @property
    def name(self) -> str:
        """The name of the folder or file, without the path to it."""
        return url_name(self.path) if self.is_remote else Path(self.path).name

    def local(self) -> Path:
        """Return the folder or file on this machine.

        A file at a URL is downloaded to the user's cache folder, once. Its SHA-256 is verified first, here
        and whenever it is used again.

        Raises:
            HeadsError: the file has another SHA-256, or the URL has no such file.
            RemoteError: the server cannot be reached, or refuses the credentials.
            OutputError: the cache folder cannot be written.
            ArcageError: ARCAGE_OFFLINE is set, and the file was not downloaded before.
        """
        if self.is_remote:
            return _downloaded(self.path, self.sha256)
        path = Path(self.path)
        if self.sha256 and (found := _digest(path)) != self.sha256:
            raise HeadsError(
                f"{path} has the sha256 {found}, not {self.sha256}: these are other heads, or damaged ones"
            )
        return path


def heads_path(name: str | Path | None) -> Path | None:
    """Return the folder or file of heads on this machine, which must exist.

    None for the bundled ones, whose names are in :data:`BUNDLED_NAMES`, and for an address.

    Raises:
        HeadsError: as :meth:`HeadsPlace.parse`.
    """
    if name is None or name in BUNDLED_NAMES:
        return None
    place = HeadsPlace.parse(name)
    return None if place.is_remote else Path(place.path)


def short_name(name: str | Path | None) -> str:
    """Return the name of heads without the path to them, for a model card; ``bundled`` for None."""
    return "bundled" if name is None else HeadsPlace.parse(name).name


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        HeadsError: it cannot be read.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HeadsError(f"cannot read {path}: {reason(error)}") from error
    except ValueError as error:
        raise HeadsError(f"{path} {error}: only heads in one file have a sha256") from error


def _downloaded(url: str, sha256: str) -> Path:
    home = cache_home()
    if home is None:
        raise HeadsError(
            f"there is no cache folder to download {url} to: set {CACHE_VARIABLE} to a folder, or download "
            "the file and name its path"
        )
    path = home / "heads" / f"{sha256}{SUFFIX}"
    if path.is_file() and _digest(path) == sha256:
        return path
    if os.environ.get("ARCAGE_OFFLINE", "0") not in ("", "0"):
        raise ArcageError(f"ARCAGE_OFFLINE is set, so {url} is not downloaded: unset it, or name a file")
    from arcage.sources.remote import read_object

    try:
        data = read_object(url, MAX_BYTES)
    except ImageError as error:
        raise HeadsError(f"cannot download {url}: {error}; check the address") from error
    if (found := sha256_bytes(data)) != sha256:
        raise HeadsError(
            f"{url} has the sha256 {found}, not {sha256}: these are other heads, or something in between "
            "answered; nothing was opened or kept"
        )
    make_folder(path.parent)
    with atomic_write(path) as file:
        file.write(data)
    return path
