"""Pictures that are unlike photos of a face, made of photos or drawn.

Each function takes a photo, shape (height, width, 3), uint8, RGB, the landmarks of its face, shape (5, 2),
and a random generator, and returns a picture.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from degradations import blur, brighten, grey

from arcage.types import F64, U8

Make = Callable[[U8, F64, np.random.Generator], U8]


def upside_down(photo: U8, _: F64, __: np.random.Generator) -> U8:
    return np.ascontiguousarray(np.rot90(photo, 2))


def on_its_side(photo: U8, _: F64, rng: np.random.Generator) -> U8:
    return np.ascontiguousarray(np.rot90(photo, 1 if rng.random() < 0.5 else 3))


def cartoon(photo: U8, _: F64, rng: np.random.Generator) -> U8:
    """Smooth, with a few levels of each colour and dark lines."""
    flat = photo
    for _ in range(4):
        flat = np.asarray(cv2.bilateralFilter(flat, 9, 40, 7), np.uint8)
    levels = int(rng.integers(4, 8))
    flat = (np.floor(flat / 256 * levels) * (255 / (levels - 1))).clip(0, 255).astype(np.uint8)
    edges = _edges(cv2.medianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 5), 9, 4)
    return np.where(edges[..., None] > 0, flat, np.uint8(20))


def line_drawing(photo: U8, _: F64, __: np.random.Generator) -> U8:
    """Black lines on white."""
    edges = _edges(cv2.medianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 3), 11, 5)
    return np.repeat(edges[..., None], 3, axis=2)


def _edges(picture: U8, block: int, offset: float) -> U8:
    method = cv2.ADAPTIVE_THRESH_GAUSSIAN_C
    return np.asarray(cv2.adaptiveThreshold(picture, 255, method, cv2.THRESH_BINARY, block, offset), np.uint8)


def pencil(photo: U8, _: F64, __: np.random.Generator) -> U8:
    """Divide by the blurred negative, as photo editors do."""
    shade = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    drawn = np.clip(shade * 255 / (256 - cv2.GaussianBlur(255 - shade, (0, 0), 5)), 0, 255)
    return np.repeat(drawn.astype(np.uint8)[..., None], 3, axis=2)


def drawn_face(_: U8, __: F64, rng: np.random.Generator) -> U8:
    """Ellipses for head, hair, eyes and mouth."""
    picture = np.full((256, 256, 3), rng.integers(120, 256, 3), np.uint8)
    skins = [(245, 210, 180), (230, 180, 140), (180, 120, 80), (110, 70, 45), (255, 220, 60)]
    skin, hair = skins[rng.integers(len(skins))], rng.integers(0, 140, 3).tolist()
    width, height = rng.integers(60, 80), rng.integers(78, 100)

    def oval(x: float, y: float, w: float, h: float, colour: object, thick: int = -1, end: int = 360) -> None:
        centre, axes = (round(x), round(y)), (round(w), round(h))
        cv2.ellipse(picture, centre, axes, 0, 0, end, colour, thick, cv2.LINE_AA)

    oval(128, 114, width + 14, height + 10, hair)
    oval(128, 132, width, height, skin)
    oval(128, 132, width, height, (30, 20, 20), int(rng.integers(1, 4)))
    eye_y, eye_x, eye = 132 - rng.integers(14, 26), width * rng.uniform(0.36, 0.5), rng.integers(6, 13)
    for x in (128 - eye_x, 128 + eye_x):
        oval(x, eye_y, 1.4 * eye, eye, (255, 255, 255))
        oval(x, eye_y, 0.7 * eye, 0.7 * eye, rng.integers(0, 160, 3).tolist())
        oval(x, eye_y, 0.35 * eye, 0.35 * eye, (0, 0, 0))
        oval(x, eye_y - eye - 6, eye + 6, 3, hair)
    oval(128, 132 + rng.integers(8, 20), 10, 7, [round(0.65 * c) for c in skin], 2, 180)
    oval(128, 132 + height * rng.uniform(0.48, 0.6), rng.integers(16, 32), rng.integers(5, 11), (160, 50, 60))
    return blur(picture, rng.uniform(0.6, 2)) if rng.random() < 0.5 else picture


def mask(photo: U8, landmarks: F64, rng: np.random.Generator) -> U8:
    """A surgical mask from the nose to the chin."""
    middle, across, down = _frame(landmarks)
    outline = [
        (0, 0.42),
        (-0.95, 0.5),
        (-0.85, 1.2),
        (-0.4, 1.75),
        (0, 1.9),
        (0.4, 1.75),
        (0.85, 1.2),
        (0.95, 0.5),
    ]
    colours = [(120, 170, 210), (240, 240, 240), (25, 25, 25), (90, 130, 90), (200, 60, 70)]
    return _filled(photo, [middle + x * across + y * down for x, y in outline], colours[rng.integers(5)])


def bar_over_the_eyes(photo: U8, landmarks: F64, _: np.random.Generator) -> U8:
    middle, across, down = _frame(landmarks)
    corners = [(-1.1, -0.3), (1.1, -0.3), (1.1, 0.3), (-1.1, 0.3)]
    return _filled(photo, [middle + x * across + y * down for x, y in corners], (0, 0, 0))


def sunglasses(photo: U8, landmarks: F64, _: np.random.Generator) -> U8:
    _, across, down = _frame(landmarks)
    turn = np.linspace(0, 2 * np.pi, 24)[:, None]
    picture = photo
    for eye in landmarks[:2]:
        outline = eye + 0.05 * down + 0.36 * np.cos(turn) * across + 0.3 * np.sin(turn) * down
        picture = _filled(picture, list(outline), (15, 15, 20))
    return picture


def _frame(landmarks: F64) -> tuple[F64, F64, F64]:
    """Return the middle between the eyes, the way from one eye to the other, and as far down the face."""
    across = landmarks[1] - landmarks[0]
    return (landmarks[0] + landmarks[1]) / 2, across, np.array([-across[1], across[0]])


def _filled(photo: U8, outline: list[F64], colour: object) -> U8:
    picture = photo.copy()
    cv2.fillPoly(picture, [np.rint(outline).astype(np.int32)], colour, lineType=cv2.LINE_AA)
    return picture


def half_cut(photo: U8, landmarks: F64, rng: np.random.Generator) -> U8:
    """The photo ends in the middle of the face."""
    x = int((landmarks[2, 0] + landmarks[[0, 1, 3, 4], 0].mean()) / 2)
    return np.ascontiguousarray(photo[:, :x] if rng.random() < 0.5 else photo[:, x:])


def half_covered(photo: U8, landmarks: F64, rng: np.random.Generator) -> U8:
    """One colour, noise, or another part of the photo over one half."""
    across = (landmarks[1] - landmarks[0]) * (1 if rng.random() < 0.5 else -1)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    covered = (x - landmarks[:, 0].mean()) * across[0] + (y - landmarks[:, 1].mean()) * across[1] > 0
    covers = (
        np.broadcast_to(rng.integers(0, 256, 3), photo.shape),
        rng.integers(0, 256, photo.shape),
        np.roll(photo, 97, axis=0)[::-1],
    )
    return np.where(covered[..., None], covers[rng.integers(3)], photo).astype(np.uint8)


def upper_half(photo: U8, landmarks: F64, _: np.random.Generator) -> U8:
    return np.ascontiguousarray(photo[: int(0.9 * landmarks[2, 1] + 0.1 * landmarks[3:, 1].mean())])


def lower_half(photo: U8, landmarks: F64, _: np.random.Generator) -> U8:
    return np.ascontiguousarray(photo[int(0.65 * landmarks[:2, 1].mean() + 0.35 * landmarks[2, 1]) :])


def patterns(_: U8, __: F64, rng: np.random.Generator) -> U8:
    """Nine patches of symmetric noise, in some of which the detector sees a face."""
    return np.vstack([np.hstack([_pattern(rng) for _ in range(3)]) for _ in range(3)])


def _pattern(rng: np.random.Generator) -> U8:
    noise = np.zeros((320, 320), np.float32)
    for size in (5, 9, 16, 32):
        octave = rng.normal(size=(size, size)).astype(np.float32)
        noise += size**-0.3 * cv2.resize(octave, (320, 320), interpolation=cv2.INTER_CUBIC)
    noise += noise[:, ::-1]
    noise = (noise - noise.min()) / np.ptp(noise)
    return np.rint(255 * noise[..., None] * rng.uniform(0.6, 1, 3)).astype(np.uint8)


def shuffled(photo: U8, _: F64, rng: np.random.Generator) -> U8:
    """The photo cut into 5 x 5 or 6 x 6 squares, in random order."""
    count = int(rng.integers(5, 7))
    side = min(photo.shape[:2]) // count
    squares = [
        photo[y * side : (y + 1) * side, x * side : (x + 1) * side]
        for y in range(count)
        for x in range(count)
    ]
    order = rng.permutation(len(squares))
    rows = [np.hstack([squares[i] for i in row]) for row in order.reshape(count, count)]
    return np.asarray(cv2.resize(np.vstack(rows), (320, 320)), np.uint8)


KINDS: dict[str, Make] = {
    "upside down": upside_down,
    "on its side": on_its_side,
    "blur, sigma 5": lambda photo, _, __: blur(photo, 5),
    "cartoon": cartoon,
    "line drawing": line_drawing,
    "pencil": pencil,
    "drawn face": drawn_face,
    "mask": mask,
    "half cut off": half_cut,
    "half covered": half_covered,
    "upper half": upper_half,
    "lower half": lower_half,
    "patterns": patterns,
    "shuffled photo": shuffled,
    "bar over the eyes": bar_over_the_eyes,
    "sunglasses": sunglasses,
    "blur, sigma 3": lambda photo, _, __: blur(photo, 3),
    "brightness 0.1": lambda photo, _, __: brighten(photo, 0.1),
    "grey": lambda photo, _, __: grey(photo),
}
"""By name. The last ones, from sunglasses on, are photos that heads may well know."""
