"""Which models there are on this machine, and whether they are whole: `arcage models list` and `verify`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from arcage.embedder.packs.download import MEGABYTES
from arcage.embedder.packs.find import recorded_pack, unknown_pack
from arcage.embedder.packs.insightface import LICENCE, SOURCE, insightface_files, list_insightface
from arcage.embedder.packs.record import DEFAULT, LOCK, Pack, bundled, read_lock, refetch
from arcage.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model file."""

    pack: str
    """Name of the pack."""
    model: str
    sha256: str | None
    """None where the file has not been opened: a pack outside the package has no record of its own."""
    dimension: int | None
    """Columns of the descriptor; None for a detector, and where the file has not been opened."""
    licence: str
    research_only: bool
    source: str
    """Who publishes it."""
    path: str

    def __str__(self) -> str:
        sha256 = (self.sha256 or "")[:12] or "-"
        limits = "RESEARCH ONLY: " if self.research_only else ""
        return (
            f"{self.pack:<10}  {self.model:<28}  {self.dimension or '-':>5}  {sha256:<12}  "
            f"{limits}{self.licence}  {self.path}"
        )


def list_models() -> list[ModelInfo]:
    """The bundled pack's models, and those of the InsightFace packs found on this machine.

    Raises:
        ModelError: the bundled pack's record is missing or damaged.
    """
    infos = _of_record(bundled())
    for files in list_insightface():
        if recorded := recorded_pack(str(files.folder)):
            infos += _of_record(recorded)
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


def _of_record(pack: Pack) -> list[ModelInfo]:
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


def fetchable(models: Iterable[ModelInfo]) -> list[str]:
    """Return the packs that can be downloaded and are not among ``models``, with their sizes."""
    present = {model.pack for model in models}
    return [f"{name} ({size} MB)" for name, size in MEGABYTES.items() if name not in present]


@dataclass(frozen=True, slots=True)
class Verified:
    """What one model file turned out to be."""

    pack: str
    file: str
    state: Literal["right", "unrecorded", "damaged", "missing", "foreign"]
    """``unrecorded``: nobody wrote down what it should be, as where InsightFace put it there; ``foreign``: it
    came into the folder of a recorded pack afterwards."""
    sha256: str | None
    """Of the file as it is; None where it cannot be read."""
    remedy: str
    """What to do, empty where nothing is wrong."""

    def __str__(self) -> str:
        return f"{self.state:<10}  {self.pack:<10}  {self.sha256 or '-':<64}  {self.file}"


def verify_models(name: str = "") -> Iterator[Verified]:
    """Hash the model files of one pack, or of all on this machine, and compare them with their records.

    Raises:
        UsageError: there is no such pack.
        ModelError: a pack's own record is missing or damaged.
    """
    if name in ("", DEFAULT):
        yield from _compare_record(bundled())
    if name == DEFAULT:
        return
    packs = [insightface_files(name)] if name else list_insightface()
    for files in packs:
        if files is None:
            raise unknown_pack(name)
        if pack := recorded_pack(str(files.folder)):
            yield from _compare_record(pack)
            continue
        remedy = refetch(files.folder)
        try:
            lock = read_lock(files.folder)
        except ModelError:
            yield Verified(files.name, LOCK, "damaged", None, remedy)
        else:
            yield from _compare(files.name, files.folder, files.files, lock, remedy)


def _compare_record(pack: Pack) -> Iterator[Verified]:
    recorded = {model.file: model.sha256 for model in pack.models}
    return _compare(pack.name, pack.folder, tuple(recorded), recorded, pack.remedy)


def _compare(
    pack: str, folder: Path, files: tuple[str, ...], recorded: Mapping[str, str] | None, remedy: str
) -> Iterator[Verified]:
    for file in sorted({*files, *(recorded or ())}):
        try:
            with open(folder / file, "rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
        except FileNotFoundError:
            yield Verified(pack, file, "missing", None, remedy)
            continue
        except OSError:
            yield Verified(pack, file, "damaged", None, remedy)
            continue
        if recorded is None:
            yield Verified(pack, file, "unrecorded", found, "")
        elif file not in recorded:
            yield Verified(pack, file, "foreign", found, f"move {folder / file} elsewhere")
        elif found != recorded[file]:
            yield Verified(pack, file, "damaged", found, remedy)
        else:
            yield Verified(pack, file, "right", found, "")
