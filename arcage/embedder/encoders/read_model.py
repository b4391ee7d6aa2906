"""Read the ONNX file of an encoder, with the weights that it keeps in files next to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcage.embedder.onnx_check import MAX_MODEL_BYTES, check_onnx
from arcage.embedder.onnx_model import import_onnx, parse_unchecked
from arcage.errors import ModelError, UsageError
from arcage.files import reason, sha256_bytes
from arcage.readers.regular_file import FileKindError, read_regular

_LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An ONNX file that was read and checked."""

    path: Path
    sha256: str
    """Of the file, without those next to it."""
    data: bytes
    """The bytes of an ONNX file with all weights."""


def read_model_file(path: Path) -> ModelFile:
    """Read an ONNX file. Weights in other files are read from the same folder.

    Raises:
        UsageError: the file cannot be read.
        ModelError: it is not an ONNX file, is damaged, too large, or names files elsewhere.
    """
    data = _read(path)
    if data.startswith(_LFS):
        raise ModelError(f"{path} is only a reference to the model: run `git lfs pull` in its folder")
    try:
        try:
            check_onnx(data, external=True)
        except ModelError as error:
            raise ModelError(f"{error}" if _is_protobuf(data) else "this is not an ONNX file") from None
        whole = _with_weights(data, path.parent)
        check_onnx(whole)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return ModelFile(path, sha256_bytes(data), whole)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_MODEL_BYTES)
    except FileKindError as error:
        raise UsageError(f"{path}: {error}; name an ONNX file of up to {MAX_MODEL_BYTES >> 20} MiB") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {reason(error)}; check the spelling") from None


def _is_protobuf(data: bytes) -> bool:
    """Return whether a file begins as ONNX files do: with its version, or the name of what wrote it."""
    return data[:1] in (b"\x08", b"\x12")


def _with_weights(data: bytes, folder: Path) -> bytes:
    """Return an ONNX file's bytes with the weights that are in other files."""
    onnx = import_onnx()
    model = parse_unchecked(data)
    external = [w for w in model.graph.initializer if w.data_location == onnx.TensorProto.EXTERNAL]
    files: dict[str, bytes] = {}
    total = len(data)
    for weight in external:
        place = {entry.key: entry.value for entry in weight.external_data}
        name = place.get("location", "")
        if name not in files:
            files[name] = _read_weights(folder, name)
        part = _part(files[name], place)
        total += len(part)
        if total > MAX_MODEL_BYTES:
            raise ModelError(
                f"the network is larger than {MAX_MODEL_BYTES >> 20} MiB with its weights, the most that "
                "arcage opens: choose a smaller one, or export it in float16"
            )
        weight.raw_data = part
        del weight.external_data[:]
        weight.ClearField("data_location")
    return bytes(model.SerializeToString()) if external else data


def _read_weights(folder: Path, name: str) -> bytes:
    # The file may come from anyone: it must not read others on this machine.
    if not name or Path(name).name != name or "\\" in name or "\0" in name or name in (".", ".."):
        raise ModelError(
            f"the weights are in {name[:100]!r}, which is not the name of a file in the same folder: this is "
            "not read"
        )
    path = folder / name
    if os.path.islink(path):
        raise ModelError(f"the weights in {name[:100]!r} are behind a link: copy the file itself there")
    try:
        return read_regular(path, MAX_MODEL_BYTES)
    except FileNotFoundError:
        raise ModelError(
            f"its weights are in {name[:100]!r}, which is not in its folder: put both there"
        ) from None
    except (OSError, ValueError) as error:
        detail = str(error) if isinstance(error, FileKindError) else reason(error)
        raise ModelError(f"cannot read the weights in {name[:100]!r}: {detail}") from None


def _part(data: bytes, place: dict[str, Any]) -> bytes:
    """Return the bytes of one tensor."""
    try:
        offset = int(place.get("offset", "0"))
        length = int(place.get("length", str(len(data) - offset)))
    except ValueError:
        offset = length = -1
    if min(offset, length) < 0 or offset + length > len(data):
        raise ModelError("the file of the weights is shorter than the network says: get both again")
    return data[offset : offset + length]
