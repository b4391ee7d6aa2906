"""Download InsightFace's public packs and record their files.

The SHA-256 of these packs is not known in advance. The first download is trusted: the SHA-256 of each file is
recorded in the pack's folder, and checked whenever the pack is loaded.

This is tested with servers on the same machine that interrupt, stall and send wrong data, not with
InsightFace's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from arcage.embedder.packs.archive import unpack
from arcage.embedder.packs.insightface import find_insightface, insightface_home
from arcage.embedder.packs.record import write_digests
from arcage.embedder.packs.registry import PUBLISHED
from arcage.embedder.packs.transfer import Progress, check_encrypted, download, partial_file
from arcage.errors import ArcageError, ModelError, OutputError, UsageError
from arcage.files import atomic_folder, reason


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """A pack to download, from where to where."""

    name: str
    url: str
    megabytes: int
    """Approximate size of the zip file."""
    licence: str
    sha256: str
    """Expected SHA-256 of the zip file; empty to accept any."""
    folder: Path
    """Folder of the installed pack."""

    def __str__(self) -> str:
        return (
            f"{self.name}: about {self.megabytes} MB from {self.url} into {self.folder}\n"
            f"Licence: {self.licence}"
        )

    @property
    def partial(self) -> Path:
        """File that the zip file is downloaded to."""
        return self.folder.with_name(f".arcage-{self.name}.zip.part")


@dataclass(frozen=True, slots=True)
class FetchedPack:
    """A pack that was downloaded and installed."""

    folder: Path
    archive: str
    """SHA-256 of the zip file."""
    files: dict[str, str]
    """SHA-256 of each file, by name."""


def plan_download(name: str, mirror: str = "", sha256: str = "") -> DownloadPlan:
    """Return what would be downloaded, from where and under which licence. No connection is opened.

    Args:
        name: of a pack in :data:`~arcage.embedder.packs.registry.PUBLISHED`.
        mirror: address of a folder that contains ``NAME.zip``, to use instead of InsightFace's release.
        sha256: expected SHA-256 of the zip file, 64 hexadecimal digits; empty to accept any.

    Raises:
        UsageError: there is no such pack, the mirror is not an address or not encrypted, or the SHA-256 is
            malformed.
        ModelError: the user has no home folder for packs.
    """
    pack = PUBLISHED.get(name)
    if pack is None:
        raise UsageError(f"there is no pack {name!r} to fetch: use one of {', '.join(PUBLISHED)}")
    if mirror:
        _check_mirror(mirror)
    url = f"{mirror.rstrip('/')}/{pack.file}" if mirror else pack.url
    sha256 = sha256.lower() or pack.sha256
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UsageError("a sha256 has 64 hexadecimal digits; `sha256sum FILE.zip` prints it")
    check_encrypted(url, sha256)
    home = insightface_home()
    if home is None:
        raise ModelError("this user has no home folder for model packs: set INSIGHTFACE_HOME to a folder")
    return DownloadPlan(name, url, pack.megabytes, pack.licence, sha256, home / name)


def check_can_fetch() -> None:
    """Check what :func:`fetch_pack` needs, before the user is asked for agreement.

    Raises:
        ArcageError: ARCAGE_OFFLINE is set.
        ModelError: the package onnx is missing, without which the pack could not be used.
    """
    if os.environ.get("ARCAGE_OFFLINE", "0") not in ("", "0"):
        raise ArcageError("ARCAGE_OFFLINE is set, so nothing is downloaded: unset it to fetch models")
    from arcage.embedder.onnx_model import import_onnx

    import_onnx()


def fetch_pack(plan: DownloadPlan, progress: Progress | None = None) -> FetchedPack:
    """Download a pack, unpack its ONNX files and record their SHA-256.

    An interrupted download is kept, and the next call continues it. The pack is installed completely or not
    at all, and only if arcage can use it. All of its ONNX files are kept, because InsightFace reads the same
    folder.

    Raises:
        UsageError: the server redirects to an address that is not encrypted.
        ArcageError: ARCAGE_OFFLINE is set.
        ModelError: the pack is already installed, or the server does not provide it.
        OutputError: a file cannot be written.
    """
    check_can_fetch()
    home = plan.folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        if plan.folder.exists():
            raise ModelError(f"{plan.folder} exists already: remove it to fetch the pack again")
        with partial_file(plan.partial) as archive:
            download(plan.url, plan.sha256, archive, progress or (lambda *_: None))
            archive.seek(0)
            digest = hashlib.file_digest(archive, "sha256").hexdigest()  # type: ignore[arg-type]
            with _emptied_if_wrong(archive):
                if plan.sha256 not in ("", digest):
                    raise ModelError(
                        f"{plan.url} has the sha256 {digest}, not the expected one; it was removed"
                    )
                files = _install(plan, archive, digest)
            archive.truncate(0)
    except OSError as error:
        raise OutputError(
            f"cannot write into {home}: {reason(error)}; free some space there, or set INSIGHTFACE_HOME to "
            "another folder; what was downloaded is kept"
        ) from error
    return FetchedPack(plan.folder, digest, files)


def is_installed(plan: DownloadPlan) -> bool:
    """Return whether the pack is on this machine.

    If a download was killed just after its pack was installed, the zip file that it left is removed.
    """
    if not os.path.exists(plan.folder):
        return False
    if plan.partial.exists():
        with suppress(OSError, ModelError), partial_file(plan.partial) as archive:
            archive.truncate(0)
    return True


def _check_mirror(mirror: str) -> None:
    try:
        parts = urlsplit(mirror)
        plain = parts.hostname and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        plain = False
    if not plain or parts.scheme not in ("https", "http") or not re.fullmatch(r"[!-~]+", mirror):
        raise UsageError(
            "a mirror is the address of a folder that contains the zip files, without a password or a "
            "query, such as https://example.org/insightface"
        )


@contextmanager
def _emptied_if_wrong(archive: IO[bytes]) -> Iterator[None]:
    """Discard a zip file that is not the expected pack; after other errors it is kept."""
    try:
        yield
    except ModelError:
        archive.truncate(0)
        raise


def _install(plan: DownloadPlan, archive: IO[bytes], digest: str) -> dict[str, str]:
    """Unpack and check the zip file, and move the pack to its folder. Return the SHA-256 of each file."""
    # No other process writes to the folder: the partial file is locked.
    with atomic_folder(plan.folder) as temporary:
        files = unpack(archive, plan.url, temporary)
        try:
            find_insightface(str(temporary))
        except ModelError as error:
            raise ModelError(
                f"{plan.url} contains no pack that arcage can use, and was removed: {error}"
            ) from error
        write_digests(temporary, plan.url, digest, files)
    return files
