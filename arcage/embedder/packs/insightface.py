"""InsightFace's model packs on disk.

A pack is a folder of ONNX files. The role of each file follows from its graph, as in InsightFace's
``model_zoo``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from arcage.embedder.align import SIDE
from arcage.embedder.engines.isolated import model_error, run_isolated
from arcage.embedder.levels import descriptor_graph, find_levels
from arcage.embedder.onnx_check import MAX_MODEL_BYTES, check_onnx
from arcage.embedder.onnx_model import image_input, import_onnx, normalises, parse
from arcage.embedder.packs.record import MAX_DIMENSION, ModelRecord, Pack, read_digests, refetch_remedy
from arcage.embedder.packs.registry import LICENCE, SOURCE
from arcage.embedder.scrfd import check_outputs
from arcage.errors import ModelError
from arcage.files import reason, sha256_bytes, user_home
from arcage.readers.regular_file import FileKindError, read_regular

_CONVERT = "arcage.embedder.packs.insightface:convert"


@dataclass(frozen=True, slots=True)
class PackFiles:
    """A folder of ONNX files that may be a model pack. No file has been opened."""

    name: str
    folder: Path
    files: tuple[str, ...]


def insightface_home() -> Path | None:
    """Return InsightFace's folder of packs: ``models/`` in INSIGHTFACE_HOME or ``~/.insightface``; None if
    the variable is not set and there is no home folder."""
    if override := os.environ.get("INSIGHTFACE_HOME"):
        return Path(os.path.expanduser(override)) / "models"
    home = user_home()
    return home / ".insightface" / "models" if home is not None else None


def list_insightface() -> tuple[PackFiles, ...]:
    """Return the packs in :func:`insightface_home`, sorted by name. No file is opened."""
    home = insightface_home()
    if home is None:
        return ()
    try:
        folders = sorted(p for p in home.iterdir() if p.is_dir() and p.name[0] != ".")
    except OSError:
        return ()
    packs = (PackFiles(f.name, _unnested(f), _onnx_files(_unnested(f))) for f in folders)
    return tuple(p for p in packs if p.files)


def insightface_files(name: str) -> PackFiles | None:
    """Return the ONNX files of a pack by name or folder; None if there is none. No file is opened."""
    folder = pack_folder(name)
    if folder is None:
        return None
    # Resolves paths such as "."; a link keeps its own name.
    shown = os.path.basename(os.path.abspath(folder))
    return PackFiles(shown, _unnested(folder), _onnx_files(_unnested(folder)))


def find_insightface(name: str) -> Pack | None:
    """Return a pack by its name in :func:`insightface_home` or by folder.

    The pack consists of the first detector with landmarks and of all face embedders, in the order of their
    files' names. Models of other kinds (landmarks, age and gender) are left out. Every file is read and
    hashed, and compared with the recorded SHA-256 if the pack was downloaded by arcage.

    Returns:
        The pack; None if there is neither such a name nor such a folder.

    Raises:
        ModelError: the folder contains no detector, no embedder, or a damaged file.
    """
    found = insightface_files(name)
    if found is None:
        return None
    digests = read_digests(found.folder)
    detectors: list[ModelRecord] = []
    embedders: list[ModelRecord] = []
    unusable = ""
    for file in found.files:
        record, reason = _inspect(found.folder / file, digests)
        unusable = unusable or reason
        if record is not None:
            (detectors if record.kind == "scrfd" else embedders).append(record)
    if not detectors or not embedders:
        missing = "face embedder (w600k_*.onnx)" if detectors else "face detector (det_*.onnx)"
        raise ModelError(
            f"{found.folder} is not a usable model pack: it has no {missing}. "
            f"Files: {', '.join(found.files) or 'none'}. "
            + (f"{unusable}. " if unusable else "")
            + "Put all files of an InsightFace pack there; `arcage models list` shows the packs found"
        )
    return Pack(found.name, found.folder, detectors[0], tuple(embedders), research_only=True)


def descriptor_model(data: bytes) -> tuple[bytes, int]:
    """Convert an embedder as published to a network from aligned faces to descriptors.

    Args:
        data: the ONNX file's bytes, verified by the caller.

    Returns:
        An ONNX file with the input ``faces``, (n, 112, 112, 3) uint8 RGB, and the output ``descriptors``,
        (n, dimension) float32; and the dimension.

    Raises:
        ModelError: the file is not an embedder of the ArcFace family.
    """
    model = parse(data)
    levels = find_levels(model)
    mean, std = (0.0, 1.0) if normalises(model) else (127.5, 127.5)
    built = descriptor_graph(model, levels, mean=mean, std=std)
    return bytes(built.SerializeToString()), sum(level.columns for level in levels)


def descriptor_model_isolated(data: bytes) -> tuple[bytes, int]:
    """Return the result of :func:`descriptor_model`, computed in a worker process.

    The shape inference of the package onnx is C++ code, which a damaged graph may crash.

    Raises:
        ModelError: as :func:`descriptor_model`; or it crashes, or takes too much time or memory.
    """
    check_onnx(data)
    import_onnx()
    reply = run_isolated(_CONVERT, {}, data)
    dimension = reply.header.get("dimension")
    if not isinstance(dimension, int) or not 0 < dimension <= MAX_DIMENSION:
        raise ModelError(f"the model has a descriptor of {dimension} columns: this is not a face embedder")
    return bytes(reply.body), dimension


def convert(args: dict[str, Any], data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Convert an embedder in a worker process; see :func:`descriptor_model_isolated`."""
    try:
        converted, dimension = descriptor_model(data)
        yield {"dimension": dimension}, converted
    except ModelError as error:
        yield model_error(error)


def pack_folder(name: str) -> Path | None:
    """Return the folder of a pack by name or folder; None if there is no such folder."""
    if not name:
        return None
    here = Path(os.path.expanduser(name))
    home = insightface_home()
    # A bare name is first looked up among the packs; anything else is a path.
    places = [home / name, here] if home is not None and here.name == name else [here]
    return next((p for p in places if os.path.isdir(p)), None)


def _onnx_files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.glob("*.onnx") if p.is_file()))


def _unnested(folder: Path) -> Path:
    """Return the folder, or the only folder in it with ONNX files (as in ``antelopev2.zip``)."""
    if _onnx_files(folder):
        return folder
    try:
        inner = [p for p in sorted(folder.iterdir()) if p.is_dir() and _onnx_files(p)]
    except OSError:  # an unreadable folder counts as empty
        return folder
    return inner[0] if len(inner) == 1 else folder


def _inspect(path: Path, digests: dict[str, str] | None) -> tuple[ModelRecord | None, str]:
    """Return the record of one file; or None for a model that is not used, and the reason if there is one."""
    try:
        data = read_regular(path, MAX_MODEL_BYTES)
    except (OSError, ValueError) as error:
        detail = str(error) if isinstance(error, FileKindError) else reason(error)
        raise ModelError(f"cannot read the model {path}: {detail}") from error
    sha256 = sha256_bytes(data)
    if digests is not None and digests.get(path.name) != sha256:
        raise ModelError(
            f"{path} of the pack {path.parent.name} is not what was fetched: its SHA-256 is not the recorded "
            f"one; {refetch_remedy(path.parent)}"
        )
    try:
        model = parse(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    role = _role(model)
    if role == "detector":
        try:
            check_outputs(len(model.graph.output))
        except ModelError as error:
            return None, f"{path.name}: {error}"
        kind, text = "scrfd", "(1, 3, height, width) float32, RGB, (0 to 255 - 127.5) / 128"
    elif role == "embedder":
        kind = "arcface"
        scale = "0 to 255" if normalises(model) else "(0 to 255 - 127.5) / 127.5"
        text = f"(n, 3, {SIDE}, {SIDE}) float32, RGB, {scale}"
    else:
        return None, ""
    return ModelRecord(path.stem, path.name, sha256, kind, LICENCE, SOURCE, text), ""


def _role(model: Any) -> Literal["detector", "embedder", "other"]:
    """Return what a model is for, by the numbers and shapes of its inputs and outputs."""
    if len(model.graph.output) >= 5:
        return "detector"
    try:
        image = image_input(model).type.tensor_type
    except ModelError:
        return "other"
    sizes = [dim.dim_value for dim in image.shape.dim]
    ranks = [len(output.type.tensor_type.shape.dim) for output in model.graph.output]
    return "embedder" if sizes[1:] == [3, SIDE, SIDE] and ranks == [2] else "other"
