"""How a network expects its pixels: colour order, mean and scale. A graph does not say it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from arcage.errors import UsageError

Three = tuple[float, float, float]

_NUMBER = r"[0-9]{1,3}(?:\.[0-9]{1,8})?"
_NUMBERS = rf"({_NUMBER}(?:,{_NUMBER},{_NUMBER})?)"


@dataclass(frozen=True, slots=True)
class Pixels:
    """The input of a network is ``(pixel - mean) / std``, of pixels from 0 to 255."""

    mean: Three
    """Of red, green and blue."""
    std: Three
    """Of red, green and blue."""
    bgr: bool = False
    """Whether blue is the first channel."""

    def __str__(self) -> str:
        order = "BGR" if self.bgr else "RGB"
        if self.mean == (0, 0, 0) and self.std == (1, 1, 1):
            return f"{order}, 0 to 255"
        shift = f" - {_text(self.mean)}" if any(self.mean) else ""
        return f"{order}, (0 to 255{shift}) / {_text(self.std)}"


PRESETS = {
    "arcface": Pixels((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "clip": Pixels((122.7709, 116.746, 104.0937), (68.5005, 66.6322, 70.3232)),
    "unit": Pixels((0, 0, 0), (255, 255, 255)),
    "raw": Pixels((0, 0, 0), (1, 1, 1)),
}
"""By name. ``arcface``: -1 to 1, as InsightFace; ``imagenet``: mean and deviation of torchvision's and most
of timm's networks; ``clip``: of OpenAI's CLIP; ``unit``: 0 to 1; ``raw``: 0 to 255, which the graph itself
may normalise."""


def parse_pixels(scale: str, *, bgr: bool = False) -> Pixels:
    """Return what a text says about the pixels.

    Args:
        scale: a name of :data:`PRESETS`, or mean and deviation, each one number or one for red, green and
            blue: ``127.5/128`` or ``123.7,116.3,103.5/58.4,57.1,57.4``.
        bgr: whether blue is the first channel.

    Raises:
        UsageError: it is neither.
    """
    preset = PRESETS.get(scale)
    if preset is not None:
        return Pixels(preset.mean, preset.std, bgr)
    match = re.fullmatch(f"{_NUMBERS}/{_NUMBERS}", scale)
    if match is None:
        raise UsageError(
            f"there is no `scale` {scale[:50]!r}: use {', '.join(PRESETS)}, or the mean and the deviation of "
            "pixels from 0 to 255, such as 127.5/128"
        )
    mean, std = _three(match[1]), _three(match[2])
    if max(mean) > 255 or min(std) <= 0 or not math.isfinite(max(std)):
        raise UsageError("the mean in `scale` is from 0 to 255, and the deviation more than 0")
    return Pixels(mean, std, bgr)


def _three(text: str) -> Three:
    numbers = [float(number) for number in text.split(",")]
    red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    return red, green, blue


def _text(numbers: Three) -> str:
    return f"{numbers[0]:g}" if len(set(numbers)) == 1 else f"({', '.join(f'{n:g}' for n in numbers)})"
