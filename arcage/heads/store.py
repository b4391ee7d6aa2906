"""Heads on disk: ``manifest.json``, ``heads.npz``, ``images.npy`` and ``model-card.md`` in one folder, or in
one file (:mod:`arcage.heads.packed`).

The manifest has the sha256 of the arrays, which is checked before they are read. Nothing is unpickled. Trees
are arrays too, not LightGBM's text format, whose parser aborts the process on a damaged file.

How to change the format: see :mod:`arcage._version`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from arcage._version import ADAPTED_HEADS_SCHEMA, DISTRIBUTION_SCHEMA, HEADS_READ, HEADS_SCHEMA
from arcage.errors import HeadsError
from arcage.files import atomic_write, check_exist, check_replaceable, make_folder, reason, sha256_bytes
from arcage.heads.distribution import LEVELS, Distribution
from arcage.heads.familiarity import Familiarity
from arcage.heads.layers import Arrays, Kernel, Layer, Linear, Trees, from_arrays, take, to_arrays
from arcage.heads.manifest import MAX_BYTES as MAX_MANIFEST
from arcage.heads.manifest import SchemaError, parse_manifest
from arcage.heads.model import Adaptation, AgeModel, Calibration, Curves, GenderModel, Heads, Stacked
from arcage.heads.packed import (
    ARRAYS,
    CARD,
    IMAGES,
    MANIFEST,
    check_packed_file,
    packed_bytes,
    read_heads_file,
)
from arcage.heads.place import BUNDLED_NAMES, HeadsPlace, heads_path
from arcage.process.interrupt import uninterrupted
from arcage.readers import npz
from arcage.readers.npy import parse_npy
from arcage.types import Array

BUNDLED = Path(__file__).parent / "default"
"""The folder of the bundled heads."""
MANIFEST_MARK = rb'"arrays": \{\s*"file": "heads.npz"'
"""Regular expression by which a manifest that arcage wrote is recognised."""
DIGEST = 5
"""Number of bytes of the sha256 that are stored for each training image. With 10^6 training images, another
image is mistaken for one of them with a probability of 10^-6."""
MAX_IMAGES = 1 << 26
"""Limit of the number of training images that are read, 67 million."""
MAX_IMAGES_BYTES = MAX_IMAGES * DIGEST + 128
MAX_CARD = 1 << 20
"""Limit of the size of a model card."""
STAGES = ("stage", "stage2")
"""Names of the kernels of a stack in the file of arrays."""
LAST = ("point", "low", "high")
"""Names of the models of the last stage."""
LINEAR, LIMITS = ("gate", "change"), ("lowest", "highest")
SHIFT = "age.shift"
CURVES, DISTRIBUTION = ("ages", "low", "high"), ("centers", "scores")
FAMILIARITY = ("distances", "shares")


def save_heads(heads: Heads, folder: Path, card: str, images: Array | None = None) -> None:
    """Write heads to a folder, which is created if needed.

    The manifest is written last; a folder without it has no heads.

    Args:
        card: the model card, Markdown.
        images: :func:`digests` of all training images, if known; see :func:`fitted_images`.

    Raises:
        ArcageError: the folder cannot be written.
    """
    arrays: Arrays = {}
    if heads.age is not None:
        arrays |= _stack_arrays(heads.age.stack, "age")
        arrays |= _calibration_arrays(heads.age.calibration)
        arrays |= _adaptation_arrays(heads.age.adapted, "age")
        arrays |= {} if heads.age.shift is None else to_arrays(heads.age.shift, SHIFT)
    if heads.gender is not None:
        arrays |= _stack_arrays(heads.gender.stack, "gender")
        arrays["gender.curve"] = np.array([heads.gender.slope, heads.gender.offset])
        arrays |= _adaptation_arrays(heads.gender.adapted, "gender")
    arrays |= _familiarity_arrays(heads.familiarity)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    data = buffer.getvalue()
    manifest = {
        **heads.manifest,
        "schema": _schema(heads),
        "fingerprint": heads.fingerprint,
        "dimension": heads.dimension,
        "arrays": _record(ARRAYS, data),
    }
    manifest.pop("images", None)
    listed = io.BytesIO()
    if images is not None:
        np.save(listed, images, allow_pickle=False)
        manifest["images"] = _record(IMAGES, listed.getvalue())
    # All files or none.
    with uninterrupted():
        make_folder(folder)
        try:
            # While the files are replaced, the folder has no heads rather than a mixture.
            (folder / MANIFEST).unlink(missing_ok=True)
            (folder / IMAGES).unlink(missing_ok=True)
        except OSError as error:
            words = f"cannot write to the folder {folder}: {error.strerror}"
            raise HeadsError(f"{words}; choose another `out`") from error
        with atomic_write(folder / ARRAYS) as file:
            file.write(data)
        if images is not None:
            with atomic_write(folder / IMAGES) as file:
                file.write(listed.getvalue())
        with atomic_write(folder / CARD, "w") as file:
            file.write(card)
        with atomic_write(folder / MANIFEST, "w") as file:
            file.write(json.dumps(manifest, indent=2, allow_nan=False) + "\n")


def _schema(heads: Heads) -> int:
    distribution = heads.age is not None and isinstance(heads.age.calibration, Distribution)
    if distribution or heads.familiarity is not None:
        return DISTRIBUTION_SCHEMA
    return ADAPTED_HEADS_SCHEMA if heads.adapted else HEADS_SCHEMA


def _record(file: str, data: bytes) -> dict[str, Any]:
    return {"file": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def digests(keys: Array) -> Array:
    """Return the first bytes of the sha256 of images, without duplicates.

    Args:
        keys: shape (n,), dtype S32; see :mod:`arcage.cache.keys`.

    Returns:
        Shape (at most n, :data:`DIGEST`), uint8, sorted.
    """
    return np.unique(_first_bytes(keys), axis=0)


def are_among(keys: Array, images: Array) -> Array:
    """Return whether each image is among the result of :func:`digests`, shape (n,), bool."""
    return np.isin(_numbers(_first_bytes(keys)), _numbers(images))


def _first_bytes(keys: Array) -> Array:
    return np.ascontiguousarray(keys).view(np.uint8).reshape(-1, 32)[:, :DIGEST]


def _numbers(images: Array) -> Array:
    whole = np.zeros((len(images), 8), np.uint8)
    whole[:, :DIGEST] = images
    return whole.view(np.uint64)[:, 0]


def fitted_images(heads: Heads) -> Array | None:
    """Return :func:`digests` of the training images of heads; None for heads of older versions, and if the
    file was deleted.

    Raises:
        HeadsError: the file is damaged.
    """
    record = heads.manifest.get("images")
    if heads.folder is None or record is None:
        return None
    path, remedy = heads.folder / IMAGES, "fit the heads again"
    try:
        data = read_heads_file(heads.folder, _file(record, IMAGES), MAX_IMAGES_BYTES)
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            raise ValueError("sha256 differs")
        images = parse_npy(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HeadsError(f"{path} is damaged ({error}); {remedy}") from error
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != DIGEST:
        raise HeadsError(f"{path} holds no digests of images; {remedy}")
    return images


def named_heads(name: str) -> Heads:
    """Load heads by what :func:`load_heads` takes, or the bundled ones by a name in :data:`BUNDLED_NAMES`.

    Raises like :func:`load_heads`.
    """
    return load_heads(None if name in BUNDLED_NAMES else name)


def load_heads(name: str | Path | None = None) -> Heads:
    """Load heads.

    Args:
        name: a folder, a file of :func:`pack_heads`, or the URL of such a file with its SHA-256, as in
            ``https://host/heads.arcage#sha256=...``; None for the bundled heads.

    Raises:
        HeadsError: there are no heads, or they are damaged or from a newer version.
        RemoteError, OutputError, ArcageError: the file at a URL cannot be downloaded; see
            :meth:`~arcage.heads.place.HeadsPlace.local`.
    """
    place = HeadsPlace.parse(BUNDLED if name is None else name)
    folder = place.local()
    if folder != BUNDLED:
        _check_folder(folder)
    remedy = _remedy(folder)
    try:
        manifest = parse_manifest(read_heads_file(folder, MANIFEST, MAX_MANIFEST))
        data = read_heads_file(folder, _file(manifest["arrays"], ARRAYS), npz.MAX_BYTES)
    except SchemaError as error:
        raise HeadsError(
            f"the heads in {place.path} have the schema {str(error.schema)[:50]}, this version of arcage "
            f"reads {', '.join(map(str, HEADS_READ))}; update arcage, or {remedy}"
        ) from None
    except FileNotFoundError as error:
        raise HeadsError(
            f"no heads in {place.path} ({Path(error.filename).name} is missing); {remedy}"
        ) from error
    except (OSError, ValueError) as error:
        raise HeadsError(f"the heads in {place.path} cannot be read ({error}); {remedy}") from error
    if hashlib.sha256(data).hexdigest() != manifest["arrays"]["sha256"]:
        raise HeadsError(f"the heads in {place.path} are damaged (sha256 differs); {remedy}")
    try:
        return replace(_heads(manifest, npz.parse_npz(data)), folder=folder)
    except (ValueError, KeyError) as error:
        raise HeadsError(f"the heads in {place.path} are damaged ({error}); {remedy}") from error


def pack_heads(name: str, file: Path, *, overwrite: bool = False) -> str:
    """Write heads as one file.

    Args:
        name: of the heads; see :func:`named_heads`.
        file: to write; its name ends in ``.arcage``.
        overwrite: replace a file that arcage did not write.

    Returns:
        The SHA-256 of the file. The same heads always have the same one.

    Raises:
        UsageError: there are no such heads, or the name of the file has another ending.
        ForeignFileError: arcage did not write the existing file.
        HeadsError: the heads are damaged.
        OutputError: the file cannot be written.
    """
    check_exist({"": [heads_path(name)]})
    check_replaceable(file, check_packed_file, overwrite=overwrite)
    heads = named_heads(name)
    fitted_images(heads)  # verifies them
    folder = heads.folder or BUNDLED
    limits = {MANIFEST: MAX_MANIFEST, ARRAYS: npz.MAX_BYTES, CARD: MAX_CARD, IMAGES: MAX_IMAGES_BYTES}
    files = {}
    for each, limit in limits.items():
        try:
            files[each] = read_heads_file(folder, each, limit)
        except FileNotFoundError:  # the card and the images may have been deleted
            continue
        except (OSError, ValueError) as error:
            raise HeadsError(f"cannot read {folder / each}: {error}") from error
    data = packed_bytes(files)
    with atomic_write(file) as opened:
        opened.write(data)
    return sha256_bytes(data)


def _remedy(folder: Path) -> str:
    if folder == BUNDLED:
        return "reinstall them: pip install --force-reinstall --no-deps arcage"
    if folder.is_file():
        return "pack them again with `arcage heads pack`, and copy the whole file"
    return f"fit them again with `arcage fit`, into {folder}"


def _file(record: dict[str, Any], name: str) -> str:
    """Return the name of a file that a manifest records. It must not lead out of the folder."""
    if record.get("file") != name or not isinstance(record.get("sha256"), str):
        raise ValueError(f"the manifest does not record {name} as arcage does")
    return name


def _check_folder(folder: Path) -> None:
    name_one = "name a folder that `arcage fit` wrote, or a file of `arcage heads pack`"
    if folder.is_file():
        return
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        raise HeadsError(f"there is no folder or file {folder}: {name_one}") from None
    except NotADirectoryError:
        raise HeadsError(f"{folder} is neither a folder nor a file: {name_one}") from None
    except OSError as error:
        raise HeadsError(f"cannot read the folder {folder}: {reason(error)}; {name_one}") from error
    if not names & {MANIFEST, ARRAYS, CARD}:
        raise HeadsError(f"there are no heads in {folder}: {name_one}")


def _heads(manifest: dict[str, Any], arrays: Arrays) -> Heads:
    """Build heads, and remove their arrays from ``arrays``.

    Raises:
        ValueError, KeyError: arrays are missing, do not fit together, or belong to no head.
    """
    dimension = manifest["dimension"]
    age = gender = None
    if (calibration := _calibration(arrays)) is not None:
        stack = _stack(arrays, "age", dimension)
        if len(stack.last) not in (1, len(LAST)):
            raise ValueError("the age head has one quantile only")
        age = AgeModel(stack, calibration, _adaptation(arrays, "age", stack), _shift(arrays))
        if age.shift is not None and age.adapted is not None:
            raise ValueError("the age head is both adapted and calibrated for a source")
    if "gender.curve" in arrays:
        curve = take(arrays, "gender.curve", "f", 1)
        if len(curve) != 2:
            raise ValueError("the gender head's curve has not two values")
        stack = _stack(arrays, "gender", dimension)
        if len(stack.last) != 1:
            raise ValueError("the gender head has quantiles")
        gender = GenderModel(stack, float(curve[0]), float(curve[1]), _adaptation(arrays, "gender", stack))
    familiarity = _familiarity(arrays, dimension)
    if arrays:
        raise ValueError(f"the array {min(arrays)} belongs to no head")
    return Heads(manifest["fingerprint"], dimension, age, gender, manifest, familiarity=familiarity)


def _familiarity_arrays(familiarity: Familiarity | None) -> Arrays:
    if familiarity is None:
        return {}
    arrays = {f"familiarity.{name}": getattr(familiarity, name) for name in ("columns", *FAMILIARITY)}
    return arrays | to_arrays(familiarity.whitening, "familiarity.whitening")


def _familiarity(arrays: Arrays, dimension: int) -> Familiarity | None:
    if "familiarity.columns" not in arrays:
        return None
    columns = _columns(arrays, "familiarity", dimension)
    whitening = from_arrays(arrays, "familiarity.whitening")
    if not isinstance(whitening, Linear) or whitening.weights.shape != (len(columns), len(columns)):
        raise ValueError("the measure of familiarity does not fit together")
    distances, shares = (take(arrays, f"familiarity.{name}", "f", 1) for name in FAMILIARITY)
    if not len(distances) == len(shares) > 0 or distances[0] <= 0 or shares[0] > 1 or shares[-1] <= 0:
        raise ValueError("the measure of familiarity has no curve from distances to shares")
    if (distances[1:] <= distances[:-1]).any() or (shares[1:] >= shares[:-1]).any():
        raise ValueError("the curve of the measure of familiarity is not in order")
    return Familiarity(columns, whitening, distances, shares)


def _columns(arrays: Arrays, prefix: str, dimension: int) -> Array:
    columns = take(arrays, f"{prefix}.columns", "i", 1)
    if len(columns) > dimension or (len(columns) and not 0 <= columns.min() <= columns.max() < dimension):
        raise ValueError(f"the {prefix} head uses columns outside the descriptor")
    return columns


def _calibration_arrays(calibration: Calibration) -> Arrays:
    """Return the arrays of an age head's calibration."""
    if isinstance(calibration, Curves):
        return {f"age.interval.{name}": getattr(calibration, name) for name in CURVES}
    return {f"age.distribution.{name}": getattr(calibration, name) for name in DISTRIBUTION}


def _calibration(arrays: Arrays) -> Calibration | None:
    if "age.interval.ages" in arrays:
        return _curves([take(arrays, f"age.interval.{name}", "f", 1) for name in CURVES])
    return _distribution(arrays, "age.distribution")


def _curves(curves: Sequence[Array]) -> Curves:
    """Return curves of an interval, which are of the same length, not empty, and increasing."""
    if not all(len(c) == len(curves[0]) > 0 and (c[1:] > c[:-1]).all() for c in curves):
        raise ValueError("the intervals' curves do not fit together")
    return Curves(*curves)


def _distribution(arrays: Arrays, prefix: str) -> Distribution | None:
    if f"{prefix}.centers" not in arrays:
        return None
    centers, scores = (
        take(arrays, f"{prefix}.{name}", "f", rank) for name, rank in zip(DISTRIBUTION, (1, 2), strict=True)
    )
    if not len(centers) or scores.shape != (len(centers), len(LEVELS)):
        raise ValueError("the age head's distribution does not fit together")
    if (centers[1:] <= centers[:-1]).any() or (scores[:, 1:] < scores[:, :-1]).any():
        raise ValueError("the age head's distribution is not in order")
    return Distribution(centers, scores)


def _shift(arrays: Arrays) -> Linear | None:
    shift = from_arrays(arrays, SHIFT)
    if shift is not None and not (isinstance(shift, Linear) and shift.weights.shape == (1, 1)):
        raise ValueError("the age head's shift does not fit")
    return shift


def _adaptation_arrays(adapted: Adaptation | None, prefix: str) -> Arrays:
    if adapted is None:
        return {}
    arrays = {f"{prefix}.new.{name}": getattr(adapted, name) for name in LIMITS}
    for name in LINEAR:
        arrays |= to_arrays(getattr(adapted, name), f"{prefix}.new.{name}")
    if isinstance(adapted.calibration, Distribution):
        return arrays | {f"{prefix}.new.{name}": getattr(adapted.calibration, name) for name in DISTRIBUTION}
    none = np.empty(0, np.float32)
    curves = [none] * 3 if adapted.calibration is None else [getattr(adapted.calibration, c) for c in CURVES]
    return arrays | {f"{prefix}.new.curves": np.stack(curves)}


def _adaptation(arrays: Arrays, prefix: str, stack: Stacked) -> Adaptation | None:
    if f"{prefix}.new.lowest" not in arrays:
        return None
    limits = {name: take(arrays, f"{prefix}.new.{name}", "f", 1) for name in LIMITS}
    parts = {name: from_arrays(arrays, f"{prefix}.new.{name}") for name in LINEAR}
    calibration: Calibration | None = _distribution(arrays, f"{prefix}.new")
    if calibration is None:
        curves = take(arrays, f"{prefix}.new.curves", "f", 2)
        if len(curves) != 3 or (prefix == "gender" and curves.size):
            raise ValueError("the new intervals' curves do not fit together")
        calibration = _curves(list(curves)) if prefix == "age" else None
    if not stack.kernels:
        raise ValueError(f"the {prefix} head is adapted and has no kernel stage")
    outputs = sum(len(kernel.bias) for kernel in stack.kernels)
    axes = sum(kernel.projection.shape[1] for kernel in stack.kernels)
    shapes = {"gate": (outputs + axes, 1), "change": (outputs + len(stack.last), 1)}
    for name, shape in shapes.items():
        part = parts[name]
        if not isinstance(part, Linear) or part.weights.shape != shape:
            raise ValueError(f"the {prefix} head's {name} does not fit")
    if any(limits[name].shape != shapes["change"][:1] for name in ("lowest", "highest")):
        raise ValueError(f"the {prefix} head's limits do not fit")
    return Adaptation(**limits, **parts, calibration=calibration)  # type: ignore[arg-type]


def _stack_arrays(stack: Stacked, prefix: str) -> Arrays:
    arrays: Arrays = {f"{prefix}.columns": stack.columns}
    for name, kernel in zip(STAGES, stack.kernels, strict=False):
        arrays |= to_arrays(kernel, f"{prefix}.{name}")
    for name, layer in zip(LAST, stack.last, strict=False):
        arrays |= to_arrays(layer, f"{prefix}.{name}")
    return arrays


def _stack(arrays: Arrays, prefix: str, dimension: int) -> Stacked:
    kernels = _layers(arrays, prefix, STAGES, Kernel)
    columns = _columns(arrays, prefix, dimension)
    last = _layers(arrays, prefix, LAST, Linear, Trees)
    if not last:
        raise ValueError(f"the {prefix} head is incomplete")
    inputs = sum(len(kernel.bias) for kernel in kernels) + len(columns) if kernels else dimension
    if any(len(kernel.mean) != dimension for kernel in kernels):
        raise ValueError(f"the {prefix} head is for another dimension")
    if len({len(kernel.centers) for kernel in kernels}) > 1:
        raise ValueError(f"the {prefix} head's kernels differ in their centers")
    for layer in last:
        if isinstance(layer, Linear):
            fits = layer.weights.shape == (inputs, 1)
        else:
            fits = int(layer.feature.max(initial=0)) < inputs
        if not fits:
            raise ValueError(f"the {prefix} head is for another number of features")
    return Stacked(kernels, columns, last)


def _layers(arrays: Arrays, prefix: str, names: Sequence[str], *kinds: type[Layer]) -> tuple[Any, ...]:
    """Return the layers of these names; the last ones may be missing."""
    layers = [from_arrays(arrays, f"{prefix}.{name}") for name in names]
    found = tuple(layer for layer in layers if layer is not None)
    if any(layer is None for layer in layers[: len(found)]) or not all(
        isinstance(one, kinds) for one in found
    ):
        raise ValueError(f"the {prefix} head is incomplete")
    return found
