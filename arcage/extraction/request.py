"""Extract the images that a user named, with their degraded variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from arcage.errors import UsageError
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.output.progress import ShowProgress, no_progress
from arcage.output.summary import Summary
from arcage.sources.inputs import STDIN, Inputs
from arcage.sources.read_ahead import ReadAhead

Runner = Literal["local", "ray"]
"""``local``: in this process; ``ray``: in actors of Ray."""


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """What to extract, and where to."""

    inputs: Inputs
    """See :func:`arcage.extraction.inputs.named_images`."""
    cache: Path
    """Folder of the descriptor cache."""
    names: bool = True
    """Keep the images' file names, by which labels are found."""
    augment: int = 0
    """Number of degraded variants of each face to extract as well."""
    engine: Runner = "local"
    min_face: int = 40
    """Minimum face width in pixels."""
    pack: str = "compact"
    device: str = "auto"
    """As for :class:`~arcage.embedder.extractor.Extractor`, or ``cuda:all`` for all GPUs."""
    workers: int | None = None
    """Number of worker processes for many images, 1 for none; None for the default of the device."""
    limits: DecodeLimits = DEFAULT_LIMITS


def extract(
    request: ExtractRequest,
    *,
    warn: Callable[[str], None] = lambda _: None,
    progress: ShowProgress = no_progress,
) -> Summary:
    """Extract images into a cache. Images that the cache has are only counted.

    Args:
        request: the images and the cache.
        warn: called with warnings: a fallback to the CPU, and damaged parts of the cache.
        progress: see :data:`~arcage.output.progress.ShowProgress`.

    Returns:
        Counts of the images, without their variants. If a server failed, ``error`` is set, and the
        variants are not extracted.

    Raises:
        UsageError: Ray cannot extract an image on standard input, or gives its actors other GPUs and cores.
        ArcageError: as :func:`arcage.extraction.run.extract_to_cache`.
    """
    # Imported here because NumPy and OpenCV take a third of a second, and wrong arguments are found before.
    from arcage.cache import damage_texts
    from arcage.embedder.engines.gpus import named_gpus
    from arcage.embedder.extractor import Extractor
    from arcage.embedder.workers import choose_workers
    from arcage.extraction.run import extract_to_cache, open_cache

    run: Callable[..., Summary]
    on_ray = request.engine == "ray"
    gpus: tuple[str, ...] = ()
    if on_ray:
        device = _checked_for_ray(request)
        from arcage.extraction.distributed import extract_on_ray
    else:
        gpus = named_gpus(request.device)
        device = gpus[0] if gpus else request.device

    def make_extractor(variant: int, device: str) -> Extractor:
        return Extractor(
            request.pack, device, variant=variant, min_face=request.min_face, limits=request.limits
        )

    total = Summary()
    for variant in range(request.augment + 1):
        extractor = make_extractor(variant, device)
        # The machines of a Ray cluster may have devices that this one lacks.
        opener = make_extractor(variant, "cpu") if on_ray else extractor
        cache = open_cache(request.cache, opener, request.inputs.faces_from)
        if on_ray:
            origin = request.inputs.faces_from
            run = partial(extract_on_ray, faces_from=origin, warn=_ignore if variant else warn)
        else:
            if extractor.engine.note and not variant:
                warn(extractor.engine.note)
            workers = choose_workers(request.workers, extractor.engine.device, gpus)
            run = partial(extract_to_cache, workers=workers)
        title = f"Variant {variant} of {request.augment}" if variant else "Extracting"
        names = request.names and not variant
        try:
            with progress(title, lambda: request.inputs) as advance, ReadAhead(request.inputs) as ahead:
                # Ray actors read the images themselves.
                images = request.inputs if on_ray else ahead
                summary = run(images, cache, extractor, names=names, progress=advance)
        finally:
            for text in damage_texts(cache.damaged):
                warn(text)
        if not variant:
            total = summary
        total.error = ahead.error
        if ahead.error is not None:
            break
    if remark := request.inputs.remark():
        warn(remark)
    return total


def _checked_for_ray(request: ExtractRequest) -> str:
    """Return the device of the actors of Ray. Each gets its GPU and its cores from Ray.

    Raises:
        UsageError: the request has something that Ray does not do.
    """
    if request.inputs.arguments == (STDIN,):
        raise UsageError("- is one image: leave out `engine` ray")
    if request.workers is not None:
        raise UsageError("Ray chooses the number of actors: leave out `workers`, or `engine` ray")
    device, _, number = request.device.lower().partition(":")
    if number not in ("", "all"):
        raise UsageError(f"Ray gives each actor its GPU: `device` {device}, not {request.device}")
    return device


def _ignore(_: str) -> None:
    pass
