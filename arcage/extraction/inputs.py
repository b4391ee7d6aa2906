"""The images that a user named, with the faces that the user gave for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from arcage.errors import UsageError
from arcage.files import check_exist
from arcage.sources.inputs import Inputs, named_inputs
from arcage.sources.shards import parse_shard


def named_images(
    paths: Sequence[str] | None,
    from_file: str | None = None,
    shard: str | None = None,
    *,
    boxes: Path | None = None,
    aligned: bool = False,
) -> Inputs:
    """Check what a user named, before any work is done.

    Args:
        paths, from_file, shard: see :func:`arcage.sources.inputs.named_inputs`. If neither paths nor a list
            are named, the images are those of ``boxes``.
        boxes: a file of the faces of the images, see :func:`arcage.data.boxes_file.read_boxes`. Its relative
            paths are relative to the current folder, the folder of the file or a folder among ``paths``: to
            the one that has most of the images, or else the first.
        aligned: each image is one aligned crop.

    Raises:
        UsageError: see :func:`~arcage.sources.inputs.named_inputs`; or the boxes cannot be read.
        RemoteError: the package for a URL is not installed.
    """
    if boxes is not None and aligned:
        raise UsageError("an aligned crop is one face without a box: leave out `boxes` or `aligned`")
    check_exist({"boxes": [boxes]})
    named = bool(paths) or from_file is not None
    inputs = named_inputs(paths, from_file, shard) if named or boxes is None else None
    if boxes is None:
        assert inputs is not None
        if not aligned:
            return inputs
        # Imported here because NumPy is slow to load.
        from arcage.sources.own_faces import AlignedCrops

        return replace(inputs, own=AlignedCrops())
    from arcage.data.boxes_file import read_boxes

    found = read_boxes(boxes, keep_paths=inputs is None)
    folders = [path for path in paths or () if os.path.isdir(path)]
    found.choose_folder([os.curdir, str(boxes.parent), *folders])
    if inputs is None:
        part = parse_shard(shard) if shard is not None else None
        inputs = Inputs(found.images(), listed=True, shard=part)
    return replace(inputs, own=found)
