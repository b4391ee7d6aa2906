"""The Python API, on the fake pipeline and on the real one."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import fakes
import joblib
import numpy as np
import pytest
from fakes import FakeExtractor, FakeHeads, face, image
from joblib.externals.loky import get_reusable_executor

import arcage
from arcage import ImagePredictions, Prediction, Predictor
from arcage.cache import Cache
from arcage.errors import DeviceError, HeadsError, InputError, UsageError
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.images.limits import DecodeLimits
from arcage.output.selection import Selection
from arcage.sources.source import Source
from arcage.sources.walk import walk

SMALL = (0, 0, 10, 10)
LARGE = (300, 0, 640, 480)
CENTRE = (290, 210, 350, 270)
THREE = image(face(20, 0.9, SMALL, 0.99), face(40, 0.1, LARGE, 0.9), face(60, 0.5, CENTRE, 0.75))


def ages(rows: list[Prediction]) -> list[float | None]:
    return [row.age for row in rows]


def test_what_the_package_offers() -> None:
    names = ["AgeHead", "FaceEncoder", "GenderHead", "ImagePredictions", "Prediction", "Predictor"]
    names.append("__version__")
    assert arcage.__all__ == dir(arcage) == names
    assert all(hasattr(arcage, name) for name in names)
    assert not hasattr(arcage, "Nonsense")


def test_importing_the_package_is_cheap() -> None:
    text = "import sys, arcage; print(sorted({m.split('.')[0] for m in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "cv2", "typer"} & set(json.loads(modules.replace("'", '"')))


def test_a_face_is_a_row(fake: None, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(image(face(34.5, 0.25, (1, 2, 3, 4), 0.75)))
    assert Predictor().predict(path) == [
        Prediction(
            *(str(path), 0, 1, 1, 2, 3, 4, 0.75, 34.5, 29.5, 42.0, "male", 0.25, "ok", None),
            image_size=(640, 480),
        )
    ]
    assert Predictor().predict(str(path)) == Predictor().predict(path)


def test_bytes(fake: None) -> None:
    rows = Predictor().predict(THREE)
    assert [(row.path, row.face, row.faces, row.age) for row in rows] == [
        ("-", 0, 3, 20),
        ("-", 1, 3, 40),
        ("-", 2, 3, 60),
    ]


def test_no_face_and_unreadable_are_rows(fake: None) -> None:
    nothing = [None] * 10
    no_face = Prediction("-", None, 0, *nothing, "no_face", None, image_size=(320, 200))  # type: ignore[arg-type]
    assert Predictor().predict(image(width=320, height=200)) == [no_face]
    assert Predictor().predict(b"") == [Prediction("-", None, 0, *nothing, "unreadable", "empty file")]  # type: ignore[arg-type]
    missing = Predictor().predict("/nowhere/a.jpg")
    assert (missing[0].status, missing[0].error) == ("unreadable", "no such file")


@pytest.mark.parametrize(("faces", "kept"), [("all", [0, 1, 2]), ("largest", [1]), ("center", [2])])
def test_which_faces(fake: None, faces: Any, kept: list[int]) -> None:
    rows = Predictor(faces=faces).predict(THREE)
    assert [row.face for row in rows] == kept
    assert {row.faces for row in rows} == {3}
    assert ages(rows) == [[20, 40, 60][i] for i in kept]


@pytest.mark.parametrize(("least", "count"), [(0.0, 3), (0.75, 3), (0.76, 2), (0.95, 1), (1.0, 0)])
def test_the_minimum_score(fake: None, least: float, count: int) -> None:
    rows = Predictor(min_score=least).predict(THREE)
    assert {row.faces for row in rows} == {count}
    assert [row.status for row in rows] == (["ok"] * count or ["no_face"])


def test_hidden_faces_are_not_chosen(fake: None) -> None:
    assert ages(Predictor(faces="largest", min_score=0.95).predict(THREE)) == [20]


def test_intervals_of_any_level_and_probabilities_of_being_younger(fake: None) -> None:
    (row,) = Predictor(interval=80, under=[18, 25, 18]).predict(image(face(20)))
    assert (row.age, row.age_low, row.age_high) == (20, pytest.approx(12), pytest.approx(28))
    # Under 18 ends at 17.5; see Predictions.p_under.
    assert row.more == {"p_under_18": pytest.approx(0.375), "p_under_25": pytest.approx(0.725)}
    assert hash(row) == hash(replace(row))
    (row,) = Predictor(under=[18], max_width=12).predict(image(face(20)))
    assert (row.age, row.age_low) == (None, 15)
    assert Predictor(interval=50, max_width=12).predict(image(face(20)))[0].age == 20
    assert Predictor(under=[18]).predict(image())[0].more == {}
    assert Predictor().predict(image(face(20)))[0].more == {}


def test_another_selection_of_the_same_networks(fake: None) -> None:
    predictor = Predictor(faces="center")
    other = predictor.with_selection(Selection(faces="largest", under=(18,)))
    assert ages(other.predict(THREE)) == [40]
    assert ages(predictor.predict(THREE)) == [60]
    assert list(other.predict(THREE)[0].more) == ["p_under_18"]
    assert other._extractor is predictor._extractor


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"interval": 0.8}, "interval is between 1 and 99.6, not 0.8"),
        ({"interval": 99.9}, "interval is between"),
        ({"interval": math.nan}, "interval is between"),
        ({"under": [17.5]}, "under is a whole number of years from 1 to 120, not 17.5"),
        ({"under": [18, 0]}, "not 0"),
        ({"under": [121]}, "not 121"),
        ({"under": [math.nan]}, "not nan"),
        ({"under": [math.inf]}, "not inf"),
    ],
)
def test_levels_and_ages_that_make_no_sense_are_refused(
    fake: None, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Predictor(**settings)


def test_heads_without_a_distribution_say_what_they_lack(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load_heads(Path(__file__).parent / "stored" / "heads" / "boosted")
    monkeypatch.setattr(
        FakeHeads, "check_distribution", lambda self, purpose: old.check_distribution(purpose)
    )
    for settings, words in (
        ({"interval": 80}, "`interval` 80 needs a"),
        ({"under": [18]}, "`under` needs a"),
    ):
        with pytest.raises(HeadsError, match=f"{words}.*arcage fit"):
            Predictor(**settings)  # type: ignore[arg-type]
    assert Predictor(interval=90).predict(image(face(20)))[0].age_low == 15
    with pytest.raises(HeadsError, match="predict no age"):
        replace(old, age=None).check_distribution("`under`")


@pytest.mark.parametrize(("widest", "age_shown"), [(12.4, False), (12.5, True), (math.inf, True)])
def test_a_wide_interval_hides_the_age(fake: None, widest: float, age_shown: bool) -> None:
    for row in Predictor(max_width=widest).predict(THREE):
        assert (row.age is not None) == age_shown
        # The interval and the gender stay.
        assert row.age_low is not None
        assert row.age_high == row.age_low + 12.5
        assert row.gender is not None


@pytest.mark.parametrize("least", [0.5, 0.8, 1.0])
def test_a_low_confidence_hides_the_gender(fake: None, least: float) -> None:
    plain, kept = Predictor().predict(THREE), Predictor(min_confidence=least).predict(THREE)
    for before, after in zip(plain, kept, strict=True):
        assert before.p_female is not None
        sure = max(before.p_female, 1 - before.p_female) >= least
        assert after == dataclasses.replace(before, gender=before.gender if sure else None)


def test_a_low_familiarity_hides_what_is_predicted(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadsError, match="`min_familiarity` needs a measure of familiarity"):
        Predictor(min_familiarity=0.5)
    assert [row.familiarity for row in Predictor().predict(THREE)] == [None] * 3
    monkeypatch.setattr(FakeHeads, "familiarity", 0.25)
    plain = Predictor().predict(THREE)
    assert Predictor(min_familiarity=0.25).predict(THREE) == plain
    nothing = dict.fromkeys(("age", "age_low", "age_high", "gender", "p_female"))
    for before, after in zip(plain, Predictor(min_familiarity=0.5).predict(THREE), strict=True):
        assert before.age is not None
        assert before.familiarity == 0.25
        assert after == dataclasses.replace(before, **nothing)  # type: ignore[arg-type]


def test_arguments_are_checked(fake: None) -> None:
    with pytest.raises(UsageError, match="all, largest, center"):
        Predictor(faces="smallest")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="between 0 and 1"):
        Predictor(min_score=50)
    with pytest.raises(UsageError, match="number of years"):
        Predictor(max_width=math.nan)
    with pytest.raises(UsageError, match=r"between 0\.5 and 1"):
        Predictor(min_confidence=0.4)
    with pytest.raises(UsageError, match="min_familiarity is between 0 and 1"):
        Predictor(min_familiarity=-0.1)
    with pytest.raises(HeadsError):
        Predictor(pack="another")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"interval": "80"}, "interval is a number, not '80'"),
        ({"interval": None}, "interval is a number, not None"),
        ({"interval": True}, "interval is a number, not True"),
        ({"min_score": "0.5"}, "min_score is a number"),
        ({"max_width": [3]}, "max_width is a number"),
        ({"under": "18"}, "under is a whole number of years, or a list of them, not '18'"),
        ({"under": 18.5}, r"not 18\.5"),
        ({"under": ["18"]}, "under is a whole number of years from 1 to 120, not '18'"),
        ({"under": [True]}, "not True"),
        ({"faces": ["all"]}, "faces is one of"),
        ({"device": 0}, "device is a name such as 'cpu' or 'cuda:0', not 0"),
        ({"device": None}, "device is a name"),
        ({"hint": "fast"}, "hint is one of latency, throughput, not 'fast'"),
        ({"pack": None}, "pack is a name or folder, not None"),
        ({"heads": 3}, "heads is a name or folder, not 3"),
        ({"cache": True}, "cache is a name or folder, not True"),
        ({"cache": ""}, "cache is a name or folder, not ''"),
        ({"limits": 100}, r"limits is an arcage\.images\.limits\.DecodeLimits, not 100"),
    ],
)
def test_arguments_of_a_wrong_type(fake: None, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Predictor(**settings)


def test_one_age_is_enough(fake: None) -> None:
    expected = Predictor(under=[18]).predict(THREE)
    for age in (18, np.int64(18), (18,), {18}, np.array([18])):
        assert Predictor(under=age).predict(THREE) == expected  # type: ignore[arg-type]
    assert Predictor(interval=np.float32(80)).predict(THREE) == Predictor(interval=80).predict(THREE)  # type: ignore[arg-type]


def test_the_old_name_of_the_minimum_confidence(fake: None) -> None:
    with pytest.warns(DeprecationWarning, match="min_sure is now called min_confidence"):
        old = Predictor(min_sure=0.8)
    assert old.predict(THREE) == Predictor(min_confidence=0.8).predict(THREE)


def test_heads_without_an_attribute(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    original = FakeHeads.predict

    def without_gender(self: FakeHeads, descriptors: Any) -> Any:
        nothing = np.full(len(descriptors), np.nan, np.float32)
        return replace(original(self, descriptors), p_female=nothing)

    monkeypatch.setattr(FakeHeads, "predict", without_gender)
    (row,) = Predictor().predict(image(face(30)))
    assert (row.age, row.gender, row.p_female) == (30, None, None)


def many(count: int) -> Iterator[Source]:
    for number in range(count):
        faces = [face(number % 90, 0.5)] * (number % 3)
        yield Source(f"{number}.jpg", f"{number}.jpg", data=image(*faces, width=number + 1))


def test_a_stream_keeps_the_order_and_predicts_in_batches(fake: None) -> None:
    rows = [rows for _, rows in Predictor().stream(many(200))]
    assert [row[0].path for row in rows] == [f"{n}.jpg" for n in range(200)]
    assert [ages(row) for row in rows] == [[n % 90] * (n % 3) or [None] for n in range(200)]
    assert sum(FakeHeads.calls) == sum(n % 3 for n in range(200))
    assert len(FakeHeads.calls) <= 4


def test_a_stream_reads_no_further_than_it_must(fake: None) -> None:
    taken = 0

    def endless() -> Iterator[Source]:
        nonlocal taken
        while True:
            taken += 1
            yield Source("a", "a", data=image(face()))

    stream = Predictor().stream(endless())
    for _ in range(1000):
        next(stream)
    ahead = 1 + arcage.predictor._THREADS
    assert taken <= 1000 + ahead * arcage.predictor._BATCH_ROWS
    stream.close()


def test_a_stream_predicts_while_it_reads(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.predictor._BATCH_ROWS", 10)
    begun, read_on = threading.Event(), threading.Event()
    original = FakeHeads.predict

    def predict(self: FakeHeads, descriptors: Any) -> Any:
        begun.set()
        assert read_on.wait(10)
        return original(self, descriptors)

    def sources() -> Iterator[Source]:
        for number, source in enumerate(many(100)):
            if number == 12:  # in the second batch
                assert begun.wait(10)
                read_on.set()
            yield source

    monkeypatch.setattr(FakeHeads, "predict", predict)
    rows = [rows for _, rows in Predictor().stream(sources())]
    assert [row[0].path for row in rows] == [f"{n}.jpg" for n in range(100)]
    assert [ages(row) for row in rows] == [[n % 90] * (n % 3) or [None] for n in range(100)]


def test_an_error_of_the_heads_reaches_the_caller(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: FakeHeads, descriptors: Any) -> Any:
        raise HeadsError("of another pack")

    monkeypatch.setattr(FakeHeads, "predict", fail)
    with pytest.raises(HeadsError, match="of another pack"):
        list(Predictor().stream(many(2000)))
    assert not any(thread.name.startswith("arcage") for thread in threading.enumerate())


def test_rows_appear_while_images_are_slow(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.predictor._BATCH_SECONDS", 0.0)
    stream = Predictor().stream(many(10**9))
    assert next(stream)[1][0].path == "0.jpg"
    stream.close()


def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log: list[str] = []
    monkeypatch.setattr(FakeExtractor, "computed", staticmethod(log.append))
    return log


def test_the_cache_gives_the_same_predictions(
    fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = computed(monkeypatch)
    plain = [rows for _, rows in Predictor().stream(many(100))]
    log.clear()
    first = [rows for _, rows in Predictor(cache=tmp_path).stream(many(100))]
    assert len(log) == 100
    again = [rows for _, rows in Predictor(cache=tmp_path).stream(many(100))]
    assert len(log) == 100
    assert plain == first == again
    assert len(Cache(tmp_path, fakes.FINGERPRINT).names()) == 0


def test_a_closed_stream_keeps_finished_images(fake: None, tmp_path: Path) -> None:
    stream = Predictor(cache=tmp_path).stream(many(1000))
    for _ in range(10):
        next(stream)
    stream.close()
    assert len(Cache(tmp_path, fakes.FINGERPRINT)) >= 10


def test_an_image_that_was_renamed_is_known(
    fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = computed(monkeypatch)
    predictor = Predictor(cache=tmp_path / "cache")
    predictor.predict(THREE)
    (tmp_path / "b.jpg").write_bytes(THREE)
    assert [row.path for row in predictor.predict(tmp_path / "b.jpg")] == [str(tmp_path / "b.jpg")] * 3
    assert len(log) == 1


# The real pipeline.


def portrait() -> Any:
    """Eileen Collins (NASA, public domain), RGB."""
    return decode((Path(__file__).parents[1] / "examples" / "astronaut.jpg").read_bytes())


def jpeg(rgb: Any) -> bytes:
    return bytes(cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def with_orientation(data: bytes, orientation: int) -> bytes:
    exif = (
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation]) + b"\0\0\0\0\0\0"
    )
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]


def test_a_portrait(bundled: None) -> None:
    (row,) = Predictor().predict(jpeg(portrait()))
    assert row.status == "ok"
    assert row.gender == "female"
    assert row.age is not None
    assert row.age_low is not None
    assert row.age_high is not None
    assert 20 < row.age < 50
    assert row.age_low <= row.age <= row.age_high


def test_every_kind_of_input_gives_the_same_rows(bundled: None, tmp_path: Path) -> None:
    # PNG: Pillow and OpenCV may decode a JPEG to slightly different pixels.
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", portrait()[:, :, ::-1])[1].tobytes())
    data = path.read_bytes()
    predictor = Predictor()
    expected = predictor.predict(path)
    assert [row.status for row in expected] == ["ok"]
    (entry,) = os.scandir(tmp_path)
    with open(path, "rb") as file:
        rows = [predictor.predict(one) for one in (str(path), entry, file)]
    assert rows == [expected] * 3
    unnamed = [data, bytearray(data), memoryview(data), io.BytesIO(data), portrait()]
    alpha = np.full((*portrait().shape[:2], 1), 255, np.uint8)
    unnamed += [np.concatenate([portrait(), alpha], axis=2), cv2.imread(str(path))[..., ::-1]]
    nameless = [replace(row, path="-") for row in expected]
    for one in unnamed:
        assert predictor.predict(one) == nameless  # type: ignore[arg-type]
    Image = pytest.importorskip("PIL.Image")
    assert predictor.predict(Image.fromarray(portrait())) == nameless
    with Image.open(path) as opened:
        assert predictor.predict(opened) == expected
    grey = cv2.cvtColor(portrait(), cv2.COLOR_RGB2GRAY)
    assert predictor.predict(grey) == predictor.predict(np.repeat(grey[..., None], 3, 2))
    assert predictor.predict(grey)[0].status == "ok"


def test_many_images_keep_their_order(fake: None, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(THREE)

    def images() -> Iterator[Any]:
        yield tmp_path / "a.jpg"
        for number in range(100):
            yield image(face(number % 90))
        yield io.BytesIO(THREE)
        yield np.zeros((30, 40, 3), np.uint8)
        yield "/nowhere/b.jpg"
        yield image()

    predictor = Predictor()
    found = list(predictor.predict_many(images()))
    assert [ages(rows) for rows in found[:102]] == [
        [20, 40, 60],
        *([n % 90] for n in range(100)),
        [20, 40, 60],
    ]
    assert [rows[0].status for rows in found[102:]] == ["ok", "unreadable", "no_face"]
    assert {type(rows) for rows in found} == {ImagePredictions}
    assert found[1] == predictor.predict(image(face(0)))
    assert list(predictor.predict_many([])) == []


def test_many_images_are_predicted_in_batches(fake: None) -> None:
    list(Predictor().predict_many(source.data for source in many(200)))  # type: ignore[misc]
    assert len(FakeHeads.calls) <= 4


def test_many_images_are_taken_as_needed(fake: None) -> None:
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((2000, 2000, 3), np.uint8)

    stream = Predictor().predict_many(endless())
    for _ in range(100):
        next(stream)
    assert taken <= 100 + 2 * arcage.predictor._BATCH_BYTES // 12_000_000
    stream.close()


def test_results_of_many_images_take_little_memory(fake: None) -> None:
    picture = np.zeros((1000, 1000, 3), np.uint8)
    predictor = Predictor()
    found = list(predictor.predict_many(picture for _ in range(100)))
    drawn = 0
    for rows in found:
        with suppress(UsageError):
            drawn += rows.draw().shape == picture.shape
    assert drawn == (64 << 20) // picture.nbytes
    predictor.close()
    with pytest.raises(UsageError, match="not in memory"):
        found[-1].draw()


def test_wrong_images_among_many(fake: None) -> None:
    predictor = Predictor()
    with pytest.raises(InputError, match="one image"):
        predictor.predict_many("a.jpg")
    stream = predictor.predict_many([THREE, THREE, None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="image 2, counted from 0: None"):
        list(stream)
    assert not any(thread.name.startswith("arcage") for thread in threading.enumerate())


def test_a_url_that_fails_is_a_row_among_many(fake: None) -> None:
    urls = ["http://127.0.0.1:9/a.jpg", THREE, "nonsense://b.jpg"]
    found = list(Predictor().predict_many(urls))
    assert [rows[0].status for rows in found] == ["unreadable", "ok", "unreadable"]
    assert found[0][0].error


def test_a_predictor_is_closed_and_used_again(fake: None, tmp_path: Path) -> None:
    with Predictor(cache=tmp_path) as predictor:
        assert isinstance(predictor, Predictor)
        rows = predictor.predict(THREE)
        assert list(predictor._caches) == ["detector"]
    assert not predictor._caches
    assert predictor.predict(THREE) == rows
    predictor.close()
    predictor.close()


def test_its_repr_is_short(fake: None, tmp_path: Path) -> None:
    assert repr(Predictor()) == "Predictor(pack='compact', device='auto')"
    name = repr(str(tmp_path))
    settings = f"pack='compact', device='cpu', heads={name}, cache={name}"
    assert repr(Predictor(device="cpu", heads=tmp_path, cache=tmp_path)) == f"Predictor({settings})"


def test_a_wrong_device_is_an_error_at_once(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="'cuda' is not installed"):
        Predictor(device="cuda")
    # The others cost time, and cannot fail.
    monkeypatch.setattr(FakeExtractor, "engine", property(lambda self: pytest.fail("loaded")))
    Predictor()
    Predictor(device="CPU")


def test_what_is_no_image_is_an_error(fake: None) -> None:
    predictor = Predictor(limits=DecodeLimits(pixels=100))
    for wrong in (None, 3, ["a.jpg"], np.zeros((10, 10, 3)), np.zeros((20, 10, 3), np.uint8)):
        with pytest.raises(UsageError) as caught:
            predictor.predict(wrong)  # type: ignore[arg-type]
        assert isinstance(caught.value, TypeError)


def test_a_rotated_phone_photo_equals_the_upright_one(bundled: None) -> None:
    rgb = portrait()
    # Lossless both ways, so that the pixels are equal: PNG carries the orientation in a chunk of its own.
    upright = bytes(cv2.imencode(".png", rgb[:, :, ::-1])[1])
    turned = bytes(cv2.imencode(".png", np.rot90(rgb)[:, :, ::-1])[1])
    rotated = png_with_orientation(turned, 6)
    (a,), (b,) = Predictor().predict(upright), Predictor().predict(rotated)
    assert a == b
    # A JPEG that is encoded sideways has slightly different pixels, which move the age by a year or so.
    (c,) = Predictor().predict(jpeg(rgb))
    (d,) = Predictor().predict(with_orientation(jpeg(np.rot90(rgb)), 6))
    assert c.age == pytest.approx(d.age, abs=2)
    assert c.x1 == pytest.approx(d.x1, abs=2)


def png_with_orientation(data: bytes, orientation: int) -> bytes:
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation]) + b"\0\0\0\0\0\0"
    chunk = b"eXIf" + exif
    at = data.index(b"IDAT") - 4
    return data[:at] + len(exif).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[at:]


@pytest.mark.parametrize("cached", [False, True])
def test_a_used_predictor_is_copied(
    fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    predictor = Predictor(cache="cache" if cached else None)
    rows = predictor.predict(THREE)
    assert ages(rows) == [20, 40, 60]
    data = pickle.dumps(predictor)
    copies = [copy.deepcopy(predictor), copy.copy(predictor)]
    # As in a worker process that runs in another folder.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    if cached:  # the copies know the image by the cache alone
        monkeypatch.setattr(FakeExtractor, "computed", staticmethod(lambda sha256: pytest.fail(sha256)))
    for one in (pickle.loads(data), *copies):  # noqa: S301
        assert one.predict(THREE) == rows
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_used_predictor_in_a_worker_process(
    bundled: None, compiled: Path, tmp_path: Path, method: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait()))
    (tmp_path / "workers.py").write_text("""
import multiprocessing, sys
from arcage import Predictor

if __name__ == "__main__":
    path, method = sys.argv[1:]
    predictor = Predictor(hint="throughput")
    rows = predictor.predict(path)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(predictor.predict, [path]).get(timeout=60) == rows
    print(rows[0].status)
""")
    command = [sys.executable, tmp_path / "workers.py", tmp_path / "a.jpg", method]
    variables = {**environment(), "XDG_CACHE_HOME": str(compiled), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120, check=False)
    assert done.stdout == "ok\n", done.stderr


def test_a_used_predictor_in_joblib(fake: None, tmp_path: Path) -> None:
    predictor = Predictor(cache=tmp_path / "cache")
    rows = predictor.predict(THREE)
    with joblib.parallel_config("loky", n_jobs=2):
        many = joblib.Parallel()(joblib.delayed(predictor.predict)(THREE) for _ in range(3))
    assert many == [rows] * 3
    get_reusable_executor().shutdown()


def test_no_socket_is_opened(bundled: None, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait()))
    text = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
from arcage.cli import main
main()
"""
    command = [sys.executable, "-c", text, "predict", str(tmp_path), "--cache", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert ",ok," in done.stdout


def test_predicting_imports_nothing_for_fitting(bundled: None, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait()))
    text = """
import sys
from arcage import Predictor
Predictor().predict(sys.argv[1])
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
    command = [sys.executable, "-c", text, str(tmp_path / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    heavy = {"sklearn", "lightgbm", "pandas", "pyarrow", "scipy", "onnxruntime", "onnx", "openvino_telemetry"}
    assert not heavy & set(done.stdout.split())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def test_predictions_from_the_cache_need_no_networks(
    bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Predictor(cache=tmp_path).predict(jpeg(portrait()))
    assert first[0].status == "ok"

    def fail(*_: object) -> Any:
        raise AssertionError("the networks are loaded")

    monkeypatch.setattr("arcage.embedder.extractor.PackNetworks", fail)
    assert Predictor(cache=tmp_path).predict(jpeg(portrait())) == first


def test_a_batch_equals_one_image_at_a_time(bundled: None, tmp_path: Path) -> None:
    rgb = portrait()
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(rgb[: 512 - 40 * number]))
    single = [Predictor().predict(path) for path in sorted(tmp_path.glob("*.jpg"))]
    streamed = [
        rows for _, rows in Predictor(hint="throughput", cache=tmp_path / "c").stream(walk([tmp_path]))
    ]
    for one, other in zip(single, streamed, strict=True):
        assert [row.age for row in one] == pytest.approx([row.age for row in other], abs=0.1)


# Own boxes, and aligned crops. Of a given face, the fake age is the height of the box, and p_female is 1 if
# it has landmarks.


def test_own_boxes(fake: None) -> None:
    points = np.array([[20, 40], [40, 40], [30, 50], [22, 65], [38, 65]])
    rows = Predictor(min_score=0.9).predict(THREE, [(10, 20, 50, 80), (1, 2, 9, 22)])
    assert ages(rows) == [60, 20]
    assert [(row.face, row.faces, row.x2, row.p_female) for row in rows] == [(0, 2, 50, 0), (1, 2, 9, 0)]
    (row,) = Predictor().predict(THREE, (10, 20, 50, 80), points)
    assert (row.age, row.p_female, row.det_score) == (60, 1, 1)
    assert [row.status for row in Predictor().predict(THREE, [])] == ["no_face"]
    assert ages(Predictor().predict(THREE)) == [20, 40, 60]


def test_own_boxes_outside_of_the_image(fake: None) -> None:
    first, second = Predictor(under=[18]).predict(THREE, [(10, 20, 50, 80), (640, 20, 650, 80)])
    assert (first.status, first.error) == ("ok", None)
    assert (second.status, second.error) == ("no_face", "the box is outside of the image")
    assert (second.age, second.age_low, second.gender, second.familiarity) == (None, None, None, None)
    assert second.more == {"p_under_18": None}
    assert second.x1 == 640


def test_wrong_boxes(fake: None) -> None:
    predictor = Predictor()
    with pytest.raises(UsageError, match="has no area"):
        predictor.predict(THREE, [(10, 20, 5, 80)])
    with pytest.raises(UsageError, match="`landmarks` belong to `boxes`: give both"):
        predictor.predict(THREE, landmarks=np.zeros((1, 5, 2)))
    with pytest.raises(UsageError, match="an aligned crop is one face without a box"):
        Predictor(aligned=True).predict(THREE, [(10, 20, 50, 80)])


def test_aligned_crops(fake: None, tmp_path: Path) -> None:
    predictor = Predictor(aligned=True, cache=tmp_path / "c")
    assert ages(predictor.predict(THREE)) == [40]  # of the fake for aligned crops
    assert [ages(rows) for _, rows in predictor.stream([Source("-", "-", data=THREE)])] == [[40]]
    assert Cache.fingerprints(tmp_path / "c") == [f"{fakes.FINGERPRINT}-aligned"]


def test_a_cache_of_detected_faces_and_own_boxes(
    fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = computed(monkeypatch)
    predictor = Predictor(cache=tmp_path)
    for _ in range(2):
        assert ages(predictor.predict(THREE)) == [20, 40, 60]
        assert ages(predictor.predict(THREE, [(10, 20, 50, 80)])) == [60]
        assert ages(predictor.predict(THREE, [(10, 20, 50, 81)])) == [61]
    assert len(log) == len(set(log)) == 3
    assert sorted(Cache.fingerprints(tmp_path)) == [fakes.FINGERPRINT, f"{fakes.FINGERPRINT}-boxes"]
    assert predictor.damaged == ()
    # Also by another predictor, and by a copy in another process.
    again = pickle.loads(pickle.dumps(predictor))  # noqa: S301
    assert ages(again.predict(THREE, [(10, 20, 50, 81)])) == [61]
    assert len(log) == 3


def test_own_boxes_of_the_real_pipeline(bundled: None, photo: bytes, compiled: Path, tmp_path: Path) -> None:
    """What arcage found, given back, gives the same age; the box alone nearly."""
    predictor = Predictor(cache=tmp_path)
    (expected,) = predictor.predict(photo)
    face = Cache(tmp_path, predictor._extractor.fingerprint).table()
    box = (expected.x1, expected.y1, expected.x2, expected.y2)
    (both,) = predictor.predict(photo, box, face.landmarks[0])
    assert (both.age, both.age_low, both.p_female) == (expected.age, expected.age_low, expected.p_female)
    (alone,) = predictor.predict(photo, box)
    assert alone.age == pytest.approx(expected.age, abs=3)
    assert alone.gender == expected.gender
