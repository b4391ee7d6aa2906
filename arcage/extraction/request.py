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
        UsageError: an image on standard input cannot be extracted on Ray.
        ArcageError: as :func:`arcage.extraction.run.extract_to_cache`.
    """
    # Imported here because NumPy and OpenCV take a third of a second, and wrong arguments are found before.
    from arcage.cache import damage_texts
    from arcage.embedder.extractor import Extractor
    from arcage.extraction.run import extract_to_cache, open_cache

    run: Callable[..., Summary] = extract_to_cache
    on_ray = request.engine == "ray"
    if on_ray:
        if request.inputs.arguments == (STDIN,):
            raise UsageError("- is one image: leave out `engine` ray")
        from arcage.extraction.distributed import extract_on_ray

    def make_extractor(variant: int, device: str) -> Extractor:
        return Extractor(
            request.pack, device, variant=variant, min_face=request.min_face, limits=request.limits
        )

    total = Summary()
    for variant in range(request.augment + 1):
        extractor = make_extractor(variant, request.device)
        # The machines of a Ray cluster may have devices that this one lacks.
        cache = open_cache(request.cache, make_extractor(variant, "cpu") if on_ray else extractor)
        if on_ray:
            run = partial(extract_on_ray, warn=_ignore if variant else warn)
        elif extractor.engine.note and not variant:
            warn(extractor.engine.note)
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
    return total


def _ignore(_: str) -> None:
    pass
