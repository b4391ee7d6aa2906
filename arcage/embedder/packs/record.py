"""Model packs: what their files are, and the records in a pack's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arcage.errors import ModelError
from arcage.files import atomic_write, verified_bytes
from arcage.readers.strict_json import read_json

BUNDLED_FOLDER = Path(__file__).parents[1] / "models"
"""Folder of the bundled pack."""
BUNDLED_NAME = "compact"
"""Name of the bundled pack."""
BUNDLED_REMEDY = "reinstall arcage: pip install --force-reinstall --no-deps arcage"
"""What to do if the bundled pack is damaged."""
RECORD_FILE = "pack.json"
"""File in a pack's folder that describes its models. InsightFace's packs have none."""
DIGESTS_FILE = "sha256.json"
"""File in the folder of a downloaded pack: the SHA-256 of each of its files."""
DETECTORS, EMBEDDERS = ("yunet", "scrfd"), ("descriptor", "arcface")
"""Values of :attr:`ModelRecord.kind`."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One ONNX file of a pack."""

    name: str
    file: str
    sha256: str
    kind: str
    """``yunet`` or ``scrfd``: a detector. ``arcface``: an embedder as published, whose levels are found when
    it is loaded. ``descriptor``: a network with one input, aligned faces, (n, 112, 112, 3) uint8 RGB, and the
    output ``descriptors``, (n, dimension) float32."""
    licence: str
    source: str
    input: str
    """Shape, type, colour order and range of the input, for readers."""
    dimension: int | None = None
    """Columns of the descriptor; None for detectors, and for ``arcface``."""
    levels: tuple[str, ...] = ()
    """Tensor, pooling and columns of each level, for readers, as ``t57 mean 128``."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A face detector and one or more embedders, whose descriptors are concatenated in this order."""

    name: str
    folder: Path
    detector: ModelRecord
    embedders: tuple[ModelRecord, ...]
    research_only: bool

    @property
    def models(self) -> tuple[ModelRecord, ...]:
        """The detector, then the embedders."""
        return (self.detector, *self.embedders)

    def read(self, record: ModelRecord) -> bytes:
        """Return the bytes of a model file, after verifying its SHA-256.

        Raises:
            ModelError: the file is missing or damaged.
        """
        return verified_bytes(self.folder / record.file, record.sha256, hint=self.remedy)

    @property
    def remedy(self) -> str:
        """What to do if a file is missing or damaged."""
        if self.folder == BUNDLED_FOLDER:
            return BUNDLED_REMEDY
        return "put the pack's files there again"


def bundled_pack() -> Pack:
    """Return the pack that is part of the arcage package.

    Raises:
        ModelError: its record is missing or damaged.
    """
    return read_pack(BUNDLED_FOLDER)


def read_pack(folder: Path) -> Pack:
    """Return the pack of a folder with a ``pack.json``. No model is opened.

    Raises:
        ModelError: the record is missing or damaged.
    """
    path = folder / RECORD_FILE
    remedy = BUNDLED_REMEDY if folder == BUNDLED_FOLDER else "CONTRIBUTING.md describes its contents"
    try:
        record = read_json(path)
        detector, *embedders = (_parse_model(fields) for fields in record["models"])
        name, research_only = str(record["name"]), bool(record.get("research_only", False))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"cannot read {path} ({error}); {remedy}") from error
    if detector.kind not in DETECTORS or not embedders or any(m.kind not in EMBEDDERS for m in embedders):
        raise ModelError(
            f"{path}: a pack is a detector ({' or '.join(DETECTORS)}), then one or more embedders "
            f"({' or '.join(EMBEDDERS)}); {remedy}"
        )
    return Pack(name, folder, detector, tuple(embedders), research_only)


def write_record(pack: Pack) -> str:
    """Return the text of a ``pack.json``, as :func:`read_pack` reads it."""
    record = {"name": pack.name, "research_only": pack.research_only}
    return json.dumps({**record, "models": [asdict(m) for m in pack.models]}, indent=2) + "\n"


def write_digests(folder: Path, url: str, sha256: str, files: dict[str, str]) -> None:
    """Record the SHA-256 of a downloaded pack's files.

    Args:
        folder: of the pack.
        url: of the zip file.
        sha256: of the zip file.
        files: the SHA-256 of each file, by name.

    Raises:
        OutputError: the record cannot be written.
    """
    record = {"archive": {"url": url, "sha256": sha256}, "files": files}
    with atomic_write(folder / DIGESTS_FILE, "w") as file:
        file.write(json.dumps(record, indent=2) + "\n")


def read_digests(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of each file of a downloaded pack, by name; None if the pack has no record.

    Raises:
        ModelError: the record is damaged.
    """
    path = folder / DIGESTS_FILE
    try:
        files = read_json(path)["files"]
        return {str(name): str(sha256) for name, sha256 in files.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"cannot read {path} ({error}); {refetch_remedy(folder)}") from error


def refetch_remedy(folder: Path) -> str:
    """Return what to do about a damaged pack that was downloaded."""
    return f"remove {folder} and run `arcage models fetch {folder.name}`"


def _parse_model(fields: dict[str, Any]) -> ModelRecord:
    model = ModelRecord(**{**fields, "levels": tuple(fields.get("levels", ()))})
    # A record may come from anyone: it must not name files outside the pack's folder.
    if Path(model.file).name != model.file:
        raise ValueError(f"{model.file!r} is not the name of a file in this folder")
    if model.kind == "descriptor" and not (isinstance(model.dimension, int) and model.dimension > 0):
        raise ValueError(f"{model.name} has no dimension")
    return model
