"""List the models on this machine, and verify their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from arcage.embedder.onnx_check import MAX_MODEL_BYTES
from arcage.embedder.packs.find import recorded_pack, unknown_pack
from arcage.embedder.packs.insightface import insightface_files, list_insightface
from arcage.embedder.packs.record import (
    BUNDLED_NAME,
    DIGESTS_FILE,
    Pack,
    bundled_pack,
    read_digests,
    refetch_remedy,
)
from arcage.embedder.packs.registry import LICENCE, PUBLISHED, SOURCE, PublishedPack
from arcage.errors import ModelError
from arcage.files import sha256_bytes
from arcage.readers.regular_file import read_regular


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model file."""

    pack: str
    """Name of the pack."""
    model: str
    sha256: str | None
    """None for a pack without a record, whose files have not been opened."""
    dimension: int | None
    """Columns of the descriptor; None for a detector, and for a file that has not been opened."""
    licence: str
    research_only: bool
    source: str
    """Publisher of the weights."""
    path: str

    def __str__(self) -> str:
        sha256 = (self.sha256 or "")[:12] or "-"
        limits = "RESEARCH ONLY: " if self.research_only else ""
        return (
            f"{self.pack:<10}  {self.model:<28}  {self.dimension or '-':>5}  {sha256:<12}  "
            f"{limits}{self.licence}  {self.path}"
        )


def list_models() -> list[ModelInfo]:
    """Return the models of the bundled pack and of the packs in InsightFace's folder.

    Raises:
        ModelError: the bundled pack's record is missing or damaged.
    """
    infos = _recorded(bundled_pack())
    for files in list_insightface():
        if recorded := recorded_pack(str(files.folder)):
            infos += _recorded(recorded)
            continue
        infos += [
            ModelInfo(
                pack=files.name,
                model=name.removesuffix(".onnx"),
                sha256=None,
                dimension=None,
                licence=LICENCE,
                research_only=True,
                source=SOURCE,
                path=str(files.folder / name),
            )
            for name in files.files
        ]
    return infos


def list_downloadable(installed: list[ModelInfo]) -> list[PublishedPack]:
    """Return the published packs that are not among the installed models."""
    names = {model.pack for model in installed}
    return [pack for pack in PUBLISHED.values() if pack.name not in names]


def _recorded(pack: Pack) -> list[ModelInfo]:
    """Return the models of a pack with a record."""
    return [
        ModelInfo(
            pack=pack.name,
            model=model.name,
            sha256=model.sha256,
            dimension=model.dimension,
            licence=model.licence,
            research_only=pack.research_only,
            source=model.source,
            path=str(pack.folder / model.file),
        )
        for model in pack.models
    ]


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """The state of one model file."""

    pack: str
    file: str
    state: Literal["right", "unrecorded", "damaged", "missing", "foreign"]
    """``right``: as recorded; ``unrecorded``: the pack has no record, as those that InsightFace downloads;
    ``foreign``: not in the pack's record."""
    sha256: str | None
    """Of the file; None if it cannot be read."""
    remedy: str
    """What to do; empty if nothing is wrong."""

    def __str__(self) -> str:
        return f"{self.state:<10}  {self.pack:<10}  {self.sha256 or '-':<64}  {self.file}"


def verify_models(name: str = "") -> Iterator[VerifiedFile]:
    """Yield the state of each model file, comparing its SHA-256 with the pack's record.

    Args:
        name: of one pack, or its folder; empty for all packs on this machine.

    Raises:
        UsageError: there is no such pack.
        ModelError: a pack's own record is missing or damaged.
    """
    if name in ("", BUNDLED_NAME):
        yield from _compare_record(bundled_pack())
    if name == BUNDLED_NAME:
        return
    packs = [insightface_files(name)] if name else list_insightface()
    for files in packs:
        if files is None:
            raise unknown_pack(name)
        if pack := recorded_pack(str(files.folder)):
            yield from _compare_record(pack)
            continue
        remedy = refetch_remedy(files.folder)
        try:
            digests = read_digests(files.folder)
        except ModelError:
            yield VerifiedFile(files.name, DIGESTS_FILE, "damaged", None, remedy)
        else:
            yield from _compare(files.name, files.folder, files.files, digests, remedy)


def _compare_record(pack: Pack) -> Iterator[VerifiedFile]:
    return _compare(pack.name, pack.folder, tuple(pack.files), pack.files, pack.remedy)


def _compare(
    pack: str, folder: Path, files: tuple[str, ...], recorded: Mapping[str, str] | None, remedy: str
) -> Iterator[VerifiedFile]:
    """Yield the state of each file that is in the folder or in ``recorded``, the SHA-256 by name."""
    for file in sorted({*files, *(recorded or ())}):
        try:
            found = sha256_bytes(read_regular(folder / file, MAX_MODEL_BYTES))
        except FileNotFoundError:
            yield VerifiedFile(pack, file, "missing", None, remedy)
            continue
        except (OSError, ValueError):  # also of a pipe, or a file that is too large
            yield VerifiedFile(pack, file, "damaged", None, remedy)
            continue
        if recorded is None:
            yield VerifiedFile(pack, file, "unrecorded", found, "")
        elif file not in recorded:
            yield VerifiedFile(pack, file, "foreign", found, f"move {folder / file} elsewhere")
        elif found != recorded[file]:
            yield VerifiedFile(pack, file, "damaged", found, remedy)
        else:
            yield VerifiedFile(pack, file, "right", found, "")
