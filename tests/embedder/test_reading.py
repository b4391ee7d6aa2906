"""Images between reading and detection."""

from __future__ import annotations

import hashlib
import pickle
from functools import partial

import numpy as np
import pytest
from encoded import encode

from arcage.embedder.reading import Decoded, Encoded, cache_key, read_image, with_faces
from arcage.errors import ImageError
from arcage.images.limits import DEFAULT_LIMITS
from arcage.images.pixels import pixels_sha256
from arcage.sources.own_faces import aligned_crop, own_faces

PIXELS = np.zeros((112, 112, 3), np.uint8)
SHA256 = "ab" * 32


def test_the_key_of_an_image_without_boxes_is_its_digest() -> None:
    assert cache_key(SHA256, None) == cache_key(SHA256, aligned_crop()) == SHA256


def test_the_key_depends_on_the_image_and_on_all_values() -> None:
    box, points = [1, 2, 30, 40], np.arange(10.0).reshape(5, 2)
    given = [
        own_faces([]),
        own_faces([box]),
        own_faces([box, box]),
        own_faces([[1, 2, 30, 41]]),
        own_faces([box], [points]),
        own_faces([box], [points + 1]),
    ]
    keys = [cache_key(SHA256, faces) for faces in given]
    assert len({SHA256, *keys, cache_key("cd" * 32, given[1])}) == len(given) + 2
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in keys)
    # The same values give the same key, also with a NaN of other bits.
    again = own_faces([box], [np.full((5, 2), -np.nan)])
    assert cache_key(SHA256, again) == keys[1]


def test_the_key_is_the_same_for_all_versions() -> None:
    faces = own_faces([[1, 2, 30, 40.5]])
    values = np.array([1, 2, 30, 40.5, *[-1e9] * 10], "<f4").tobytes()
    assert cache_key(SHA256, faces) == hashlib.sha256(bytes.fromhex(SHA256) + values).hexdigest()


def test_images_are_read_with_their_faces() -> None:
    data, faces = encode(PIXELS, ".png"), own_faces([[1, 2, 30, 40]])
    image = read_image(3, lambda: data)
    assert isinstance(image, Encoded)
    assert image.key == (3, hashlib.sha256(data).hexdigest(), False)
    decoded = image.decoded(DEFAULT_LIMITS)
    assert (decoded.number, decoded.faces, decoded.sha256) == (3, None, image.sha256)
    given = read_image(3, partial(with_faces, lambda: data, faces))
    assert given.faces is faces
    assert given.sha256 == cache_key(image.sha256, faces)


def test_pixels_get_their_key_when_it_is_needed() -> None:
    faces = own_faces([[1, 2, 30, 40]])
    image = read_image(0, lambda: (PIXELS, faces))
    assert isinstance(image, Decoded)
    assert image.sha256 == ""
    assert image.with_key().key == (0, cache_key(pixels_sha256(PIXELS), faces), False)


def test_an_aligned_crop_has_one_size() -> None:
    assert isinstance(read_image(0, lambda: (PIXELS, aligned_crop())), Decoded)
    with pytest.raises(ImageError, match="not an aligned crop of 112x112 pixels, but 112x111"):
        read_image(0, lambda: (PIXELS[1:], aligned_crop()))
    encoded = read_image(0, lambda: (encode(PIXELS[:, 2:], ".png"), aligned_crop()))
    assert isinstance(encoded, Encoded)
    with pytest.raises(ImageError, match="but 110x112"):
        encoded.decoded(DEFAULT_LIMITS)


def test_readers_with_faces_go_to_other_processes() -> None:
    read = partial(with_faces, partial(bytes, b"x"), own_faces([[1, 2, 30, 40]]))
    data, faces = pickle.loads(pickle.dumps(read))()  # noqa: S301
    assert data == b"x"
    assert faces.boxes.tolist() == [[1, 2, 30, 40]]
