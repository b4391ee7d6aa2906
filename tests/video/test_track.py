"""Persons across frames."""

from __future__ import annotations

import numpy as np

from arcage.video.track import Tracker


def boxes(*corners: tuple[float, float]) -> np.ndarray:
    return np.array([(x, y, x + 100, y + 100) for x, y in corners], np.float32)


def someone(seed: int, noise: float = 0.3, take: int = 0) -> np.ndarray:
    """Return a direction for each person with noise for each picture: cosine 0.92 at noise 0.3."""
    who = np.random.default_rng(seed).normal(size=64)
    return (who + noise * np.random.default_rng([seed, take + 1]).normal(size=64)).astype(np.float32)


def test_two_persons_who_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    for t in range(20):
        where = boxes((20 * t, 0), (380 - 20 * t, 5))
        faces = np.stack([someone(1, take=t), someone(2, take=t)])
        order = [1, 0] if t % 3 else [0, 1]  # the order of the detector changes
        assert tracker.assign(where[order], faces[order]) == order
    assert len(tracker) == 2


def test_a_person_who_returns_elsewhere_is_recognised() -> None:
    tracker = Tracker()
    assert tracker.assign(boxes((0, 0)), someone(1)[None]) == [0]
    for t in range(30):
        assert tracker.assign(boxes((300, 0)), someone(2, take=t)[None]) == [1]
    assert tracker.assign(boxes(), np.empty((0, 64))) == []
    assert tracker.assign(boxes((500, 50), (300, 0)), np.stack([someone(1, take=40), someone(2)])) == [0, 1]


def test_a_blurred_face_is_recognised_only_at_its_place() -> None:
    poor = someone(1, noise=1.7, take=9)
    cosine = poor @ someone(1) / np.linalg.norm(poor) / np.linalg.norm(someone(1))
    assert 0.45 < cosine < 0.65
    tracker = Tracker()
    tracker.assign(boxes((0, 0)), someone(1)[None])
    assert tracker.assign(boxes((20, 0)), poor[None]) == [0]
    tracker = Tracker()
    tracker.assign(boxes((0, 0)), someone(1)[None])
    assert tracker.assign(boxes((400, 0)), poor[None]) == [1]


def test_another_face_at_the_same_place_is_another_person() -> None:
    tracker = Tracker()
    for t in range(5):
        tracker.assign(boxes((0, 0)), someone(1, take=t)[None])
    assert tracker.assign(boxes((0, 0)), someone(2)[None]) == [1]


def test_a_person_is_recognised_after_an_occlusion() -> None:
    tracker = Tracker()
    whole, half = someone(1), someone(1, noise=1.7, take=9)
    for t in range(5):
        assert tracker.assign(boxes((0, 0)), someone(1, take=t)[None]) == [0]
    tracker.assign(boxes(), np.empty((0, 64)))
    for x in (200, 220):  # elsewhere, and similar to no person
        assert tracker.assign(boxes((x, 0)), half[None]) == [1]
    # It is more similar to the whole face, at the place of the occluded one.
    coming_out = 2 * whole / np.linalg.norm(whole) + half / np.linalg.norm(half)
    assert tracker.assign(boxes((225, 0)), coming_out[None]) == [0]
    assert len(tracker) == 2


def test_two_faces_of_a_frame_are_two_persons() -> None:
    tracker = Tracker()
    twins = np.stack([someone(1), someone(1, take=1)])
    assert tracker.assign(boxes((0, 0), (300, 0)), twins) == [0, 1]
    assert sorted(tracker.assign(boxes((0, 0), (300, 0)), twins)) == [0, 1]
