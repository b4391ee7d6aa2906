"""`arcage models fetch`: InsightFace's public packs, downloaded once and recorded.

Nothing else in arcage downloads models, and this does only when :func:`fetch` is called. arcage knows no
digest of these files beforehand, so it trusts the first download: the SHA-256 of every file is written
beside it, and whatever comes to lie there later must have it.

This has been run against servers on the same machine that cut, stall and lie, not against the real one.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from arcage._version import __version__
from arcage.embedder.packs.insightface import LICENCE, find_insightface, insightface_home
from arcage.embedder.packs.record import write_lock
from arcage.errors import ArcageError, ModelError, OutputError, UsageError
from arcage.files import atomic_folder, atomic_write, reason

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

RELEASE = "https://github.com/deepinsight/insightface/releases/download/model-zoo"
"""Where InsightFace publishes its packs, by ``insightface/utils/storage.py`` of its version 2.1 on PyPI."""

MEGABYTES = {"antelopev2": 361, "buffalo_l": 289, "buffalo_m": 276, "buffalo_s": 128, "buffalo_sc": 15}
"""The packs, and about how large their zip files are, for people (as a mirror of that release lists them)."""

TIMEOUT = 30.0
"""Seconds without a single byte after which a server is taken to be gone."""
MAX_ARCHIVE = 1 << 30
MAX_UNPACKED = 2 << 30

Progress = Callable[[int, int | None], object]
"""Called with the bytes that are here, and with how many there will be where the server says so."""

_AGAIN = "run the same command again, and it goes on from there"
_BY_HAND = (
    "or set ARCAGE_MIRROR to a server that has the file, or fetch it with a browser and unpack it by hand"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A pack that could be downloaded."""

    name: str
    url: str
    megabytes: int
    """About."""
    licence: str
    sha256: str
    """What the zip file must have; empty to take what comes."""
    folder: Path
    """Where it would be."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What :func:`fetch` put on disk."""

    folder: Path
    archive: str
    """SHA-256 of the zip file."""
    files: dict[str, str]
    """SHA-256 of each file."""


def offer(name: str, mirror: str = "", sha256: str = "") -> Offer:
    """What would be downloaded, from where, under which licence. Opens no connection.

    Args:
        name: one of :data:`MEGABYTES`.
        mirror: the address of a folder that has ``NAME.zip``, in the place of :data:`RELEASE`.
        sha256: what the zip file must have, 64 hexadecimal digits; empty to take what comes.

    Raises:
        UsageError: there is no such pack, the mirror is no address or one that is not encrypted, or the
            sha256 is none.
        ModelError: there is no folder for packs, because the user has no home folder.
    """
    if name not in MEGABYTES:
        raise UsageError(f"there is no pack {name!r} to fetch: take one of {', '.join(MEGABYTES)}")
    if mirror:
        try:
            parts = urlsplit(mirror)
            plain = parts.hostname and not (parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:
            plain = False
        if not plain or parts.scheme not in ("https", "http") or not re.fullmatch(r"[!-~]+", mirror):
            raise UsageError(
                "a mirror is the address of a folder that has the zip files, without a password or a "
                "query, such as https://example.org/insightface"
            )
    url = f"{(mirror or RELEASE).rstrip('/')}/{name}.zip"
    sha256 = sha256.lower()
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UsageError("a sha256 has 64 hexadecimal digits; `sha256sum FILE.zip` prints it")
    _check_scheme(url, sha256)
    home = insightface_home()
    if home is None:
        raise ModelError("this user has no home folder for model packs: set INSIGHTFACE_HOME to a folder")
    return Offer(name, url, MEGABYTES[name], LICENCE, sha256, home / name)


def check_possible() -> None:
    """What stands in the way of :func:`fetch` on this machine, said before anybody is asked.

    Raises:
        ArcageError: ARCAGE_OFFLINE forbids it.
        ModelError: the package onnx is missing, without which the pack could not be used.
    """
    if os.environ.get("ARCAGE_OFFLINE", "0") not in ("", "0"):
        raise ArcageError("ARCAGE_OFFLINE is set, so nothing is downloaded: unset it to fetch models")
    from arcage.embedder.levels import import_onnx

    import_onnx()


def fetch(wanted: Offer, progress: Progress | None = None) -> Fetched:
    """Download a pack, unpack its ONNX files and record their SHA-256.

    What came of a download that broke is kept, and the next call goes on from there. The pack appears in its
    place whole or not at all, and only if arcage can use it. All its ONNX files are kept, those that arcage
    has no use for as well: InsightFace looks in the same folder.

    Raises:
        UsageError: the server passes on to an address that is not encrypted.
        ArcageError: ARCAGE_OFFLINE forbids it.
        ModelError: the pack is there already, the server does not give it, or gives something else.
        OutputError: it cannot be written.
    """
    check_possible()
    home = wanted.folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        if wanted.folder.exists():
            raise ModelError(f"{wanted.folder} is there already: remove it to fetch the pack anew")
        with _partial(_part(wanted)) as archive:
            _download(wanted, archive, progress or (lambda *_: None))
            digest = _digest(archive)
            if wanted.sha256 not in ("", digest):
                archive.truncate(0)
                raise ModelError(
                    f"{wanted.url} has the sha256 {digest}, not the one that was asked for; it was removed"
                )
            try:
                # No other process writes to the folder: the partial file is locked.
                with atomic_folder(wanted.folder) as temporary:
                    files = _unpack(archive, wanted.url, temporary)
                    _check_usable(temporary, wanted.url)
                    write_lock(temporary, wanted.url, digest, files)
            except ModelError:
                archive.truncate(0)
                raise
            archive.truncate(0)
    except OSError as error:
        raise OutputError(
            f"cannot write into {home}: {reason(error)}; free some space there, or set INSIGHTFACE_HOME to "
            "another folder; what has been downloaded is kept"
        ) from error
    return Fetched(wanted.folder, digest, files)


def remove_leftovers(wanted: Offer) -> None:
    """Remove the zip file of a download that was killed just after its pack was installed."""
    part = _part(wanted)
    if part.exists():
        with suppress(OSError, ModelError), _partial(part) as archive:
            archive.truncate(0)


def _part(wanted: Offer) -> Path:
    return wanted.folder.with_name(f".arcage-{wanted.name}.zip.part")


@contextmanager
def _partial(path: Path) -> Iterator[IO[bytes]]:
    """The file that a download goes into: locked, kept when something fails, and removed when empty."""
    empty = False
    try:
        with open(path, "a+b") as file:
            with suppress(ImportError):  # Windows; there, two at once damage the file, which is noticed
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ModelError(f"another arcage is downloading {path}: wait for it") from None
            try:
                yield file
            finally:
                empty = not file.seek(0, os.SEEK_END)
    finally:
        if empty:
            path.unlink(missing_ok=True)


def _download(wanted: Offer, file: IO[bytes], progress: Progress) -> None:
    """Fill ``file`` with the zip file, from where it ends."""
    url = wanted.url
    have = file.seek(0, os.SEEK_END)
    with _words(url):
        response = _open(url, wanted.sha256, have)
    if response is None:
        return
    with response:
        total = _length(response)
        if response.status == 206 and have:
            match = re.fullmatch(
                r"bytes (\d{1,18})-\d+/(\d{1,18})", response.headers.get("Content-Range", "")
            )
            if not match or int(match[1]) != have:
                file.truncate(0)
                raise ModelError(
                    f"{urlsplit(url).netloc} sent another part of the file than it was asked for; what was "
                    "here is removed: run the same command again to start anew"
                )
            total = int(match[2])
        else:  # from the start, asked for or not
            have = 0
        if total is not None and total > MAX_ARCHIVE:
            raise _too_large(url)
        while chunk := _read(response, url, have):
            if not have:
                if chunk != b"PK\x03\x04":
                    raise ModelError(
                        f"{urlsplit(url).netloc} sent something else than a zip file, perhaps a page for "
                        f"people: look at {url} with a browser; a proxy or a login may stand in between"
                    )
                # Only now: such a page must not cost what was here.
                file.truncate(0)
            file.write(chunk)
            have += len(chunk)
            if have > MAX_ARCHIVE:
                file.truncate(0)
                raise _too_large(url)
            progress(have, total)
    if not have:
        raise ModelError(f"{urlsplit(url).netloc} sent nothing; try later, {_BY_HAND}")
    if total is not None and have != total:
        raise ModelError(f"the download broke off after {have:,} of {total:,} bytes; {_AGAIN}")


def _open(url: str, sha256: str, have: int) -> http.client.HTTPResponse | None:
    """The server's answer; None where all is here already."""
    from urllib.error import HTTPError
    from urllib.request import Request

    headers = {"User-Agent": f"arcage/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: http.client.HTTPResponse = _opener(sha256).open(
            Request(url, headers=headers), timeout=TIMEOUT
        )
        return response
    except HTTPError as error:
        with error:
            if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
                return None
        if error.code == 416:
            # More is here than the server has: it is another file.
            with _words(url):
                return _open(url, sha256, 0)
        words = http.client.responses.get(error.code, "no known answer")
        raise ModelError(
            f"{urlsplit(url).netloc} does not give {url}: HTTP {error.code}, {words}; try later, {_BY_HAND}"
        ) from None


def _opener(sha256: str) -> OpenerDirector:
    from urllib.request import HTTPRedirectHandler, build_opener

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            _check_scheme(newurl, sha256)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return build_opener(Redirects())


def _check_scheme(url: str, sha256: str) -> None:
    """A network between could put anything into an answer that is not encrypted."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and (local or sha256)):
        raise UsageError(
            f"{parts.scheme}://{parts.hostname} is not encrypted: take https, "
            "or name the sha256 of the zip file"
        )


def _read(response: http.client.HTTPResponse, url: str, have: int) -> bytes:
    with _words(url):
        # The very first bytes at once, as they tell what it is; then whatever has come, as it comes.
        return response.read(4) if not have else response.read1(1 << 18)


@contextmanager
def _words(url: str) -> Iterator[None]:
    from urllib.error import URLError

    host = urlsplit(url).netloc
    try:
        yield
    except TimeoutError as error:
        raise ModelError(
            f"{host} has sent nothing for {TIMEOUT:.0f} s; what came is kept: {_AGAIN}"
        ) from error
    except http.client.IncompleteRead as error:
        raise ModelError(f"{host} broke off the download; what came is kept: {_AGAIN}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = error.reason if isinstance(error, URLError) else error
        # Some of it may be the server's words, and it goes to a terminal.
        text = "".join(c if c.isprintable() else " " for c in str(why))[:200] or type(why).__name__
        raise ModelError(
            f"cannot download from {host}: {text}; what came is kept. Check the connection and the proxy "
            f"(HTTPS_PROXY), and run the same command again, {_BY_HAND}"
        ) from error


def _length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _too_large(url: str) -> ModelError:
    return ModelError(f"{url} is larger than {MAX_ARCHIVE:,} bytes: that is no pack")


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _unpack(archive: IO[bytes], url: str, folder: Path) -> dict[str, str]:
    """The archive's ONNX files into ``folder``, and their SHA-256 by their names."""
    digests = {}
    try:
        with zipfile.ZipFile(archive) as packed:
            for name, member in _members(packed).items():
                digest = hashlib.sha256()
                with packed.open(member) as source, atomic_write(folder / name) as file:
                    while data := source.read(1 << 20):
                        digest.update(data)
                        file.write(data)
                digests[name] = digest.hexdigest()
    except ArcageError:
        raise
    except Exception as error:  # whatever zipfile and its decompressors come up with
        raise ModelError(f"{url} is a damaged zip file ({error}); it was removed: fetch it again") from error
    return digests


def _check_usable(folder: Path, url: str) -> None:
    try:
        find_insightface(str(folder))
    except ModelError as error:
        raise ModelError(f"{url} holds no pack that arcage can use, and was removed: {error}") from error


def _members(packed: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's ONNX files by the names that they get: ``x.onnx`` or ``FOLDER/x.onnx``, nothing else."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in packed.infolist():
        if member.is_dir() or not member.filename.lower().endswith(".onnx"):
            continue
        match = re.fullmatch(r"(?:\w[\w.-]*/)?(\w[\w.-]*)", member.filename, re.ASCII)
        if not match or match[1] in found or stat.S_ISLNK(member.external_attr >> 16):
            raise ModelError(
                f"the zip file holds {member.filename!a}, which has no place in a pack: it is not "
                "InsightFace's; it was removed"
            )
        found[match[1]] = member
    if sum(member.file_size for member in found.values()) > MAX_UNPACKED:
        raise ModelError(
            f"the zip file unpacks to more than {MAX_UNPACKED:,} bytes: that is no pack; it was removed"
        )
    return found
