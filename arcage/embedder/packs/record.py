"""Model packs: what their files are, and the records in a pack's folder."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arcage.embedder.onnx_check import MAX_MODEL_BYTES
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
MAX_EMBEDDERS = 8
"""Maximum number of embedders of a pack."""
MAX_DIMENSION = 65_536
"""Maximum number of columns of an embedder's descriptor."""

_TEXTS = ("name", "file", "sha256", "kind", "licence", "source", "input")
_MODEL_FIELDS: dict[str, tuple[type, ...]] = dict.fromkeys(_TEXTS, (str,))


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
    graphs: tuple[tuple[str, str], ...] = ()
    """File and SHA-256 of the networks that ``detector_graph`` built from the bundled detector, without and
    with mirror images. For other packs they are built when the detector is loaded, which takes the package
    onnx."""

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file of the model, by name."""
        return {self.file: self.sha256, **dict(self.graphs)}


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

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file that is recorded, by name."""
        return {file: sha256 for model in self.models for file, sha256 in model.files.items()}

    def read(self, record: ModelRecord) -> bytes:
        """Return the bytes of a model file, after verifying its SHA-256.

        Raises:
            ModelError: the file is missing or damaged.
        """
        return self.read_file(record.file, record.sha256)

    def read_file(self, name: str, sha256: str) -> bytes:
        """Return the bytes of a file of the pack, after verifying its SHA-256.

        Raises:
            ModelError: the file is missing or damaged.
        """
        return verified_bytes(self.folder / name, sha256, hint=self.remedy, max_bytes=MAX_MODEL_BYTES)

    @property
    def is_bundled(self) -> bool:
        """Whether the pack is part of arcage."""
        return self.folder == BUNDLED_FOLDER

    @property
    def remedy(self) -> str:
        """What to do if a file is missing or damaged."""
        if self.is_bundled:
            return BUNDLED_REMEDY
        return f"put the files of the pack {self.name} there again"


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
        _check_fields(record, {"name": (str,), "models": (list,)}, {"research_only": (bool,)})
        models = tuple(_parse_model(fields) for fields in record["models"])
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path} ({error}); {remedy}") from error
    kinds = [model.kind for model in models]
    if (
        not 2 <= len(kinds) <= 1 + MAX_EMBEDDERS
        or kinds[0] not in DETECTORS
        or not set(kinds[1:]) <= set(EMBEDDERS)
    ):
        raise ModelError(
            f"{path}: a pack is a detector ({' or '.join(DETECTORS)}), then one to {MAX_EMBEDDERS} embedders "
            f"({' or '.join(EMBEDDERS)}); {remedy}"
        )
    return Pack(record["name"], folder, models[0], models[1:], record.get("research_only", False))


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
        record = read_json(path)
        _check_fields(record, {"files": (dict,)}, {"archive": (dict,)})
        files: dict[str, str] = record["files"]
        if not all(isinstance(sha256, str) for sha256 in files.values()):
            raise ValueError("a SHA-256 is not a text")
        return files
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path} ({error}); {refetch_remedy(folder)}") from error


def refetch_remedy(folder: Path) -> str:
    """Return what to do about a damaged pack that was downloaded."""
    return f"remove {folder} and run `arcage models fetch {folder.name}`"


def _check_fields(
    record: Any, required: dict[str, tuple[type, ...]], optional: dict[str, tuple[type, ...]]
) -> None:
    """Check that a JSON value is an object with these fields of these types, and no others.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(record, dict):
        raise ValueError("it contains something else than an object")
    for name in required:
        if name not in record:
            raise ValueError(f"{name!r} is missing")
    for name, value in record.items():
        types = {**required, **optional}.get(name)
        if types is None:
            raise ValueError(f"the field {name[:50]!r} is unknown")
        if type(value) not in types:  # True is also an int
            raise ValueError(f"{name!r} has the wrong type")


def _parse_model(fields: Any) -> ModelRecord:
    optional = {"dimension": (int, type(None)), "levels": (list,), "graphs": (list,)}
    _check_fields(fields, _MODEL_FIELDS, optional)
    if not all(isinstance(level, str) for level in fields.get("levels", ())):
        raise ValueError("'levels' has the wrong type")
    graphs = fields.get("graphs", [])
    if not all(type(graph) is list and [type(text) for text in graph] == [str, str] for graph in graphs):
        raise ValueError("'graphs' has the wrong type")
    if len(graphs) not in (0, 2):
        raise ValueError("'graphs' are two: without and with mirror images")
    built = tuple((str(file), str(sha256)) for file, sha256 in graphs)
    model = ModelRecord(**{**fields, "levels": tuple(fields.get("levels", ())), "graphs": built})
    for file, sha256 in ((model.file, model.sha256), *built):
        # A record may come from anyone: it must not name files outside the pack's folder.
        if Path(file).name != file or file in ("", "..") or "\0" in file:
            raise ValueError(f"{file[:200]!r} is not the name of a file in this folder")
        if re.fullmatch("[0-9a-f]{64}", sha256) is None:
            raise ValueError(f"{model.name[:50]} has no SHA-256 of 64 hexadecimal digits")
    if model.kind == "descriptor" and not 0 < (model.dimension or 0) <= MAX_DIMENSION:
        raise ValueError(f"{model.name[:50]} has no dimension of 1 to {MAX_DIMENSION:,}")
    return model
