"""The computations of the benchmarks, checked by hand. The benchmarks themselves are run by people."""

from __future__ import annotations

import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from arcage.data.labels import Label
from arcage.data.main_face import main_face
from arcage.images.decoder import decode
from arcage.sources.source import Source

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the benchmarks, as their scripts do."""
    import importlib

    monkeypatch.syspath_prepend(str(BENCHMARKS / "accuracy"))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "speed"))
    return importlib.import_module


# Scripts named peer_* run in environments of their own.
SCRIPTS = [path for path in sorted(BENCHMARKS.glob("*/*.py")) if not path.name.startswith("peer_")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_script_imports(load: Any, script: Path) -> None:
    assert load(script.stem).__file__ == str(script)


@pytest.fixture
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def test_latencies_are_of_what_was_answered(load: Any) -> None:
    answers = [(i / 1000, 200, 1) for i in range(100, 0, -1)] + [(9.0, 503, 0)] * 25
    line = load("app_load").summary(50, answers, 10.0, 300.2, 310.4)
    assert line == "| 50 | 100 of 125 | 10.0 | 50 | 96 | 100 | 300 | 310 |"


def test_weights_by_the_density_of_ages(load: Any) -> None:
    weights = load("old_age").density_weights
    age = np.concatenate([np.full(900, 30), np.full(90, 60), [99]]).astype(np.float32)
    assert set(weights(age, 0).tolist()) == {1}
    one = weights(age, 1)
    assert (one[0], one[-1]) == (1, 20)
    # The density far from other ages is proportional to the number of faces.
    assert one[950] == pytest.approx(10)
    assert weights(age, 0.5)[950] == pytest.approx(10**0.5)


def test_a_higher_quantile_for_faces_that_may_be_old(load: Any) -> None:
    from arcage.heads.distribution import LEVELS
    from arcage.heads.model import Predictions

    old_age = load("old_age")
    # Ages are even between 10 years below and above the median.
    median = np.array([30, 64.5, 90], np.float32)
    quantiles = (median[:, None] + 20 * (np.array(LEVELS) - 0.5)).astype(np.float32)
    predictions = Predictions(median + 1, *[np.full(3, np.nan, np.float32)] * 3, quantiles)
    # P(65 or older) is 0, one half and 1, so the levels are 0.5, 0.6 and 0.7.
    assert old_age.higher(predictions, 0.4) == pytest.approx(median + 1 + [0, 2, 4], abs=0.02)
    assert old_age.higher(predictions, 0) == pytest.approx(median + 1)
    age = np.full(20, 70.0)
    row = old_age.row("quantiles", 0.4, age + 3, age + 1, age)
    assert (row["cost"][0], row["bias_old"][0], row["mae"][0], row["predicted_old"]) == (2, 3, 3, 20)


def test_fairface_by_hand(load: Any) -> None:
    truth = {
        "a.jpg": ("0-2", "female"),
        "b.jpg": ("20-29", "male"),
        "c.jpg": ("70+", "male"),
        "d.jpg": ("3-9", "female"),
    }
    estimates = {
        "a.jpg": (2.4, "female"),  # right
        "b.jpg": (29.6, "female"),  # the next bin, wrong gender
        "c.jpg": (50.0, "male"),  # two bins off
        "other.jpg": (1.0, "male"),  # no label: counts nowhere
    }
    assert load("fairface").score(truth, estimates) == {
        "images": 4,
        "dropped": 1,
        "age_bin": pytest.approx(1 / 3),
        "within_one_bin": pytest.approx(2 / 3),
        "gender_accuracy": pytest.approx(2 / 3),
    }
    assert load("fairface").score(truth, {})["age_bin"] is None


def test_peers_are_compared_with_arcage_on_the_same_images(load: Any) -> None:
    estimate = load("protocol").Estimate
    labels = {"a": Label(30, 1), "b": Label(5, 0), "c": Label(60, 0)}
    ours = {"a": estimate(34, True), "b": estimate(15, True), "c": estimate(60, False)}
    theirs = {"a": estimate(20, True), "b": estimate(), "c": estimate(66, True)}
    result = load("peers").compare(labels, {"ours": ours, "theirs": theirs})
    assert result["ours"]["estimated"] == {
        "images": 3,
        "dropped": 0,
        "mae": pytest.approx(14 / 3),
        "median": 4,
        "cs5": pytest.approx(2 / 3),
        "gender_accuracy": pytest.approx(2 / 3),
        "gender_accuracy_10_and_older": 1,
    }
    assert result["theirs"]["estimated"]["dropped"] == 1
    assert result["theirs"]["estimated"]["mae"] == 8
    assert result["theirs"]["estimated"]["gender_accuracy"] == 0.5
    assert result["theirs"]["arcage_on_these"]["images"] == 2
    assert result["theirs"]["arcage_on_these"]["mae"] == 2
    bins = {"a": ("30-39", "female"), "b": ("3-9", "male"), "c": ("60-69", "male")}
    by_bin = load("peers").compare_bins(bins, {"ours": ours, "theirs": theirs})
    assert by_bin["theirs"]["estimated"]["dropped"] == 1
    assert by_bin["theirs"]["estimated"]["age_bin"] == 0.5
    assert by_bin["theirs"]["arcage_on_these"]["images"] == 2
    assert by_bin["theirs"]["arcage_on_these"]["age_bin"] == 1
    lines = load("peers").as_text(result).splitlines()
    assert [line[:17].rstrip() for line in lines[1:]] == ["ours", "theirs", "  arcage on these"]


def test_a_peers_rows_become_one_estimate_for_each_image(load: Any, tmp_path: Path) -> None:
    peers = load("peers")
    file = tmp_path / "estimates.csv"
    file.write_text(
        "path,width,height,x1,y1,x2,y2,age,gender,status\r\n"
        '"a, b.jpg",200,100,0,0,20,20,70.5,male,ok\r\n'  # small and in a corner
        '"a, b.jpg",200,100,70,20,130,80,31.25,female,ok\r\n'
        "c.jpg,200,100,,,,,,,no_face\r\n"
        "d.jpg,50,50,-5,0,45,50,0,male,ok\r\n",
        encoding="utf-8",
        newline="",
    )
    sources = [Source(path, path) for path in ("a, b.jpg", "c.jpg", "d.jpg")]
    estimate = load("protocol").Estimate
    for peer in peers.PEERS:  # all are kept in the file: none is run
        assert peers.predict(peer, tmp_path / "nothing", sources, 0, file) == {
            "a, b.jpg": estimate(31.25, True),
            "c.jpg": estimate(),
            "d.jpg": estimate(0.0, False),
        }


def test_peers_are_pinned_and_have_separate_folders(load: Any) -> None:
    peers = load("peers").PEERS
    assert len({peer.folder for peer in peers}) == len(peers)
    for peer in peers:
        assert (BENCHMARKS / "accuracy" / peer.runner).is_file()
        for package in peer.packages:
            assert re.search(r"@\d+\.\d+\.\d+$" if peer.javascript else r"==\d+\.\d+\.\d+$", package)


def test_the_recipe_is_pinned(load_speed: Any) -> None:
    recipe = load_speed("folder").RECIPE
    assert (BENCHMARKS / "speed" / recipe.runner).is_file()
    assert recipe.packages == ("insightface==2.1",)


def test_the_main_face_is_the_one_that_fit_takes(load: Any) -> None:
    class Table:
        faces = np.array([3, 3, 3])
        width, height = np.array([300, 300, 300]), np.array([200, 200, 200])
        boxes: np.ndarray

    rng = np.random.default_rng(0)
    for _ in range(50):
        corner = rng.uniform(-20, 200, (3, 2))
        Table.boxes = np.concatenate([corner, corner + rng.uniform(10, 120, (3, 2))], axis=1)
        ours = load("protocol").main_face(Table.boxes.tolist(), 300, 200)
        assert ours == main_face(Table, 0)  # type: ignore[arg-type]


def test_every_level_of_every_degradation_is_an_image(load: Any, picture: np.ndarray) -> None:
    for curve in load("degradations").CURVES:
        for level in curve.levels:
            worse = decode(curve.make(picture, level))
            if curve.name == "size":
                assert max(worse.shape[:2]) == level
            elif curve.name == "rotation":
                assert worse.shape[0] > picture.shape[0]
                assert worse.shape[1] > picture.shape[1] * math.cos(math.radians(45))
            else:
                assert worse.shape == picture.shape
                assert (worse != picture).any()


def test_degradations_by_hand(load: Any, picture: np.ndarray) -> None:
    worse = load("degradations")
    assert (decode(worse.png(picture)) == picture).all()
    assert (worse.resize(picture, 50) == picture).all()
    assert (np.ptp(worse.grey(picture), axis=2) == 0).all()
    assert worse.brighten(np.array([[[10, 100, 200]]], np.uint8), 2).ravel().tolist() == [20, 200, 255]
    assert worse.gamma(np.array([[[0, 128, 255]]], np.uint8), 2).ravel().tolist() == [0, 64, 255]
    # A quarter turn keeps all pixels; nothing is cut off at 45 degrees.
    assert (worse.rotate(picture, 90) == np.rot90(picture)).all()
    turned = worse.rotate(picture, 45)
    assert turned.shape[:2] == (64, 64)
    assert turned.sum(dtype=float) == pytest.approx(picture.sum(dtype=float), rel=0.05)
    assert turned[0, 0].tolist() == [0, 0, 0]


def test_repeatability_by_hand(load: Any) -> None:
    repeatability = load("repeatability")
    variants = len(repeatability.NAMES)
    place = {cause: repeatability.NAMES.index(cause) for cause in repeatability.CAUSES}
    age = np.full((12, variants), 30.0)
    p_female = np.full((12, variants), 0.25)
    # The mirror image of every face is two years older; the crop of one face has another gender.
    age[:, place["mirror"]] += 2
    p_female[3, place["crop"]] = 0.75
    # No face is found in a small variant of another face: it is no flip.
    age[5, place["scale"]] = p_female[5, place["scale"]] = np.nan
    report = repeatability.by_cause(age, p_female)
    assert report["mirror"]["sd"] == pytest.approx([2**0.5] * 3)
    assert report["mirror"]["sd_p90"] == pytest.approx([2**0.5] * 3)
    assert report["all"]["sd"][0] == pytest.approx(2 / variants**0.5, rel=0.01)
    for cause in ("scale", "JPEG", "turn", "light"):
        assert report[cause]["sd"] == [0, 0, 0]
        assert report[cause]["flips"] == [0, 0, 0]
    assert report["crop"]["flips"][0] == report["all"]["flips"][0] == pytest.approx(1 / 12)
    assert [report[cause]["without_face"] for cause in ("all", "scale", "crop")] == [1, 1, 0]
    assert {row["n"] for row in report.values()} == {12}


def test_persons_with_few_photos_are_left_out(load: Any) -> None:
    person = np.array([f"person {i % 12}" for i in range(60)] + ["rare"] * 4 + [""] * 9)
    age = np.where(np.arange(len(person)) < 12, 50.0, 40.0)
    female = person == "person 1"
    female[:3] = ~female[:3]  # the first photo of three persons
    report = load("repeatability").by_person(age, female, person)
    assert (report["n"], report["photos"]) == (12, 60)
    assert report["sd"] == pytest.approx([20**0.5] * 3)
    assert report["flips"][0] == pytest.approx(3 / 60)


def test_variants_are_predicted_in_their_places(load: Any, picture: np.ndarray) -> None:
    from arcage.heads.model import Predictions

    repeatability = load("repeatability")

    class Extractor:
        def stream(self, items: Any) -> Any:
            for place, read in items:
                image = decode(read())
                found = image.shape[1] != round(picture.shape[1] / 2)
                face = SimpleNamespace(box=np.array([0, 0, 10, 10]))
                yield (
                    place,
                    SimpleNamespace(
                        faces=[face] if found else [],
                        descriptors=np.array([image.shape[:2]], np.float32),
                        width=image.shape[1],
                        height=image.shape[0],
                    ),
                )

    class Heads:
        def predict(self, x: np.ndarray) -> Predictions:
            return Predictions(x[:, 1], x[:, 0], x[:, 0], x[:, 0])

    age, height = repeatability.predict_variants([picture, picture[:, :30]], Extractor(), Heads())
    shown = dict(zip(repeatability.NAMES, zip(age[0], height[0], strict=True), strict=True))
    assert shown["original"] == shown["JPEG"] == shown["light"] == shown["mirror"] == (50, 40)
    assert shown["scale"] == (75, 60)  # the last one
    assert np.isnan(age[0]).tolist() == [i == repeatability.NAMES.index("scale") for i in range(12)]
    assert (age[1, 0], height[1, 0]) == (30, 40)
    assert age[0, 1] < 50


def test_the_cache_at_small_sizes(
    load: Any, bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = load("cache")
    own = cache.measure

    def measure(part: str, folder: Path, faces: int) -> Any:
        if part == "open":  # only one part in its own process, because that takes a while
            return own(part, folder, faces)
        return {**cache.PARTS[part](folder, faces), "peak_mb": cache.peak()}

    monkeypatch.setattr(cache, "measure", measure)
    monkeypatch.setattr(cache, "ASKED", 1000)
    (tmp_path / "work").mkdir()
    out = tmp_path / "out"
    cache.main(["--out", str(out), "--work", str(tmp_path / "work"), "--sizes", "100", "700"])
    assert list((tmp_path / "work").iterdir()) == []
    small, large = json.loads((out / "cache.json").read_text())["sizes"]
    assert (small["faces"], large["faces"]) == (100, 700)
    assert (small["known"]["there"], large["known"]["there"]) == (100, 500)
    assert large["write"]["bytes_arrays"] == 700 * 1024 * 2
    assert 1 < large["write"]["bytes_over_arrays"] < 1.1
    assert large["feed"]["array_mb"] == pytest.approx(700 * 1024 * 4 / 1e6)
    for row in (small, large):
        assert all(row[part]["seconds"] > 0 for part in cache.PARTS)
        # A new process starts with the peak memory of the tests.
        assert all(row[part]["peak_mb"] > 10 for part in cache.PARTS)
    image = cv2.imread(str(out / "cache.png"))
    assert image is not None
    assert (image != 255).any()


# Speed


@pytest.fixture
def load_speed(load: Any, monkeypatch: pytest.MonkeyPatch, compiled: Path) -> Any:
    """Import a benchmark that loads networks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    return load


@pytest.fixture
def tiny_photos(load_speed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: bytes) -> Any:
    """Generate a few photos of 0.1 megapixels from the example photo."""
    photos = load_speed("photos")
    monkeypatch.setattr(photos, "MEGAPIXELS", (0.1, 0.12))
    portrait, crop = tmp_path / "portrait.jpg", tmp_path / "crop.png"
    portrait.write_bytes(photo)
    cv2.imwrite(str(crop), cv2.imread(str(portrait))[20:220, 120:320])

    def make(name: str, count: int, seed: int = 0) -> list[Path]:
        photos.make(tmp_path / name, count, [crop], portrait, portrait, seed)
        return sorted((tmp_path / name).iterdir())

    return make


def test_photos_are_the_same_everywhere(tiny_photos: Any) -> None:
    first = tiny_photos("a", 8)
    assert [path.name for path in first] == [f"{i:03d}.jpg" for i in range(8)]
    for path in first:
        height, width = decode(path.read_bytes()).shape[:2]
        assert 0.099e6 < height * width < 0.121e6
    again = [path.read_bytes() for path in tiny_photos("b", 8)]
    assert [path.read_bytes() for path in first] == again
    assert [path.read_bytes() for path in tiny_photos("c", 8, seed=1)] != again
    # Existing files are kept.
    first[0].write_bytes(b"")
    assert tiny_photos("a", 8)[0].read_bytes() == b""


def test_the_clock_counts_each_second_once(load_speed: Any) -> None:
    clock = load_speed("stages").Clock()

    def work(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    inner = clock.timed("inner", work)

    def both() -> None:
        work(0.02)
        inner(0.06)

    with clock.stage("main"), ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: clock.timed("outer", both)(), range(2)))
        time.sleep(0.01)
    spent = clock.stages
    assert (spent["inner"].calls, spent["outer"].calls, spent["main"].calls) == (2, 2, 1)
    assert 0.12 <= spent["inner"].cpu < 0.15
    assert 0.04 <= spent["outer"].cpu < 0.07
    assert spent["main"].cpu < 0.03 <= spent["main"].wall


def test_the_time_of_other_threads_goes_to_the_networks(load_speed: Any) -> None:
    stages = load_speed("stages")
    spent = {
        stages.DECODE: stages.Spent(5, cpu=2.0, wall=3.0),
        stages.DETECTOR: stages.Spent(5, cpu=0.5, wall=1.0),
        stages.EMBEDDER + "a": stages.Spent(5, cpu=0.5, wall=3.0),
    }
    rows = {row.stage: row.seconds for row in stages._rows(spent, 8.0, 1.0)}
    # 8 - 1 of OpenCV - 3 of Python's threads = 4, one and three parts.
    expected = {stages.DECODE: 2, stages.DETECTOR: 1.5, stages.EMBEDDER + "a": 3.5, stages.OPENCV: 1}
    assert rows == pytest.approx(expected)
    profile = stages.Profile(10.0, 8.0, 2, stages._rows(spent, 8.0, 1.0))
    assert profile.share(*stages.NETWORK) == pytest.approx(5 / 20)
    assert sum(profile.shares().values()) == pytest.approx(8 / 20)
    assert stages.as_rows(profile)[-1][2:4] == ("12.00", "60.0%")


def test_a_profile_sees_all_of_a_run(bundled: None, load_speed: Any, tiny_photos: Any) -> None:
    stages = load_speed("stages")
    sources = [Source(str(path), path.name) for path in tiny_photos("a", 3)]
    profile, faces = stages.predict(sources)
    calls = {row.stage: row.calls for row in profile.rows}
    assert faces >= 3
    assert calls[stages.DECODE] == calls[stages.READ] == 3
    # Batches of one to three photos. The detector runs on one canvas at a time, with its mirror image.
    assert 1 <= calls[stages.CANVAS] == calls[stages.ALIGN] == calls[stages.SECOND] / 2 <= 3
    assert calls[stages.CANDIDATES] >= 2 * calls[stages.CANVAS]
    assert calls[stages.DETECTOR] >= 3 + faces
    assert calls[stages.HEADS] >= 1
    assert {stages.EMBEDDER + "sface", stages.EMBEDDER + "mobilefacenet", stages.MAIN, stages.REST} <= set(
        calls
    )
    seconds = sum(row.seconds for row in profile.rows)
    assert 0.8 * profile.cpu < seconds <= 1.05 * profile.cpu
    assert 0 < profile.share(*stages.USEFUL) <= 1.05


def test_an_embedder_alone_sees_each_face_once(
    bundled: None, load_speed: Any, tiny_photos: Any, tmp_path: Path, openvino: Any
) -> None:
    networks = load_speed("networks")
    pack = load_speed("arcage.embedder.packs.record").bundled_pack()
    faces = (
        np.random.default_rng(0).integers(0, 256, (3, 7, 7, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    )
    model = pack.embedders[0]
    alone = networks.alone(model.name, tmp_path)
    (record,) = alone.embedders
    once = openvino.load(alone.read(record), (-1, 112, 112, 3))
    mean = (once(faces)["descriptors"] + once(faces[:, :, ::-1])["descriptors"]) / 2
    both = openvino.load(pack.read(model), (-1, 112, 112, 3))(faces)["descriptors"]
    assert np.abs(mean - both).max() < 0.05 < 0.2 < np.abs(once(faces)["descriptors"] - both).max()
    # As the recipe runs it.
    parse = load_speed("onnx").load_from_string
    graph, centre, scale = networks.plain(parse(pack.read(model)))
    plain = openvino.load(graph.SerializeToString(), (-1, 3, 112, 112))
    pixels = ((faces.transpose(0, 3, 1, 2) - centre) / scale).astype(np.float32)
    assert np.abs(plain(pixels)["descriptors"] - once(faces)["descriptors"]).max() < 0.05
    # Half the work of the network; the projection runs once in both.
    full, half = (
        networks.multiply_adds(parse(data), (1, 112, 112, 3))
        for data in (pack.read(model), alone.read(record))
    )
    assert 0.5 < half / full < 0.51
    stages = load_speed("stages")
    sources = [Source(str(path), path.name) for path in tiny_photos("a", 2)]
    profile, found = stages.to_cache(sources, alone)
    assert found >= 2
    assert {row.stage for row in profile.rows if row.stage.startswith(stages.EMBEDDER)} == {
        stages.EMBEDDER + alone.embedders[0].name
    }


def test_multiply_adds_by_hand(load_speed: Any) -> None:
    onnx = load_speed("onnx")
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    weights = {"w": (8, 3, 3, 3), "depthwise": (8, 1, 3, 3), "dense": (8, 5), "gemm": (7, 5)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "depthwise"], ["b"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "dense"], ["e"]),
        helper.make_node("Gemm", ["e", "gemm"], ["y"], transB=1),
    ]
    arrays = [
        onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, ["n", 3, 16, 16])], [value("y", 1, ["n", 7])], arrays
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    expected = 8 * 8 * 8 * 27 + 8 * 8 * 8 * 9 + 8 * 5 + 5 * 7
    assert load_speed("networks").multiply_adds(model, (1, 3, 16, 16)) == expected
    assert load_speed("networks").multiply_adds(model, (4, 3, 16, 16)) == 4 * expected


def test_limits_by_hand(bundled: None, load_speed: Any) -> None:
    crops = load_speed("crops")
    assert crops.limits({"a": 100, "b": 300}, {"slow": 4_000.0, "fast": 40_000.0}) == {
        "slow": 10,
        "fast": 100,
    }
    pack = load_speed("arcage.embedder.packs.record").bundled_pack()
    amounts = crops.of_crop(pack)
    assert list(amounts) == ["detector: network", "embedder: mobilefacenet", "embedder: sface"]
    # Canvases of 256, 224 and 224 pixels. The detector is fully convolutional: work follows the area.
    detector = load_speed("onnx").load_from_string(pack.read(pack.detector))
    at_640 = load_speed("networks").multiply_adds(detector, (1, 3, 640, 640))
    assert amounts["detector: network"] * 640**2 == at_640 * (256**2 + 2 * 224**2)


def test_detections_are_compared_by_hand(load_speed: Any) -> None:
    detection = load_speed("detection")
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 40]], np.float32)
    points = np.zeros((2, 5, 2), np.float32)
    moved = points.copy()
    moved[1, 2] = 3, 4
    taller = boxes + np.array([0, 0, 0, 2], np.float32)
    none = boxes[:0], points[:0]
    pairs = [
        ((boxes, points), (taller[::-1], moved[::-1])),  # in another order, a little taller
        ((boxes[:1], points[:1]), (boxes[1:], points[1:])),  # another face
        ((boxes, points), none),
        (none, (boxes[:1], points[:1])),
        (none, none),
    ]
    agreement = detection.compare(pairs)
    assert agreement == detection.Agreement(5, 1 + 2 + 1, pytest.approx(100 / 120), 5.0)
    assert detection.iou(boxes[0], boxes).tolist() == [1, 0]


def test_opencv_and_arcage_find_the_same(
    bundled: None, load_speed: Any, openvino: Any, tiny_photos: Any
) -> None:
    detection = load_speed("detection")
    crop = tiny_photos("a", 1)[0].parents[1] / "crop.png"
    pack = load_speed("arcage.embedder.packs.record").bundled_pack()
    ours = detection.of_arcage(detection.load_detector(openvino, pack))
    for side, count in detection.CROPS.items():
        (canvas,) = detection.canvases([crop] * count, side)
        opencv = detection.of_opencv(pack.folder / pack.detector.file, side)
        bgr = np.ascontiguousarray(canvas[:, :, ::-1])
        agreement = detection.compare([(opencv(bgr), ours(canvas))])
        assert (agreement.faces, agreement.unmatched) == (count, 0)
        assert agreement.least_iou > 0.99
        assert agreement.largest_distance < 0.5


def test_the_recipe_takes_turns_with_arcage(load_speed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = load_speed("folder")
    asked: list[str] = []
    order: list[str] = []

    def ask(paths: list[str], side: int | None) -> dict[str, float]:
        order.append(str(side))
        asked.extend(paths if side else [])
        mirror = {"networks on the mirror image": 1.0 * len(paths)}
        return {"faces": 2 * len(paths), "decode": (0.5 if side else 2.5) * len(paths), **mirror}

    def library(predictor: Any, sources: Any) -> tuple[float, int]:
        order.append("library")
        return 3.0, 11

    monkeypatch.setattr(folder, "library", library)
    sources = [Source(f"{i}", f"{i}") for i in range(6)]
    runs = folder.compare(ask, None, sources, lambda: (4.0, 7.0))
    assert order == ["library", "None", "640"] * folder.BLOCKS
    assert sorted(asked) == [source.path for source in sources]
    assert folder.results(runs, 6) == {
        folder.COMMAND: (11, 1.5),
        folder.LIBRARY: (11, 2.0),
        "recipe, full size": (12, pytest.approx(6 / 21)),
        "recipe, full size, no mirror": (12, pytest.approx(6 / 15)),
        "recipe, 640 pixels": (12, pytest.approx(6 / 9)),
        "recipe, 640 pixels, no mirror": (12, pytest.approx(2.0)),
    }


def test_a_plot_and_the_machine_are_written(load_speed: Any, tmp_path: Path) -> None:
    measure = load_speed("measure")
    measure.plot(tmp_path / "a.png", "title", "a second", {"a": 1.0, "b": 2.5}, {"a": {"x": 0.5, "y": 0.25}})
    measure.plot(tmp_path / "b.png", "title", "a second", {"a": 1.0})
    first, second = (decode((tmp_path / name).read_bytes()) for name in ("a.png", "b.png"))
    assert first.shape[0] > second.shape[0] > 100
    measure.save(tmp_path, "report", {"machine": measure.machine()})
    machine = json.loads((tmp_path / "report.json").read_text("utf-8"))["machine"]
    assert machine["cores"] >= 1
    assert machine["openvino"]


@pytest.mark.slow
def test_the_time_of_a_fit(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    from caches import FINGERPRINT, image, write

    fit = load("fit")
    rng = np.random.default_rng(0)
    images = [
        (f"{20 + n % 50}_{n % 2}_{n % 3}_{n:014d}.jpg", image(f"image {n}", [rng.normal(size=6)]))
        for n in range(120)
    ]
    write(tmp_path / "cache", images, dimension=6)
    monkeypatch.setattr(fit, "Extractor", lambda variant: SimpleNamespace(fingerprint=FINGERPRINT))
    out = tmp_path / "fit.json"
    fit.main(["--cache", str(tmp_path / "cache"), "--augment", "1", "--count", "160", "--out", str(out)])
    as_they_are, many = json.loads(out.read_text())["fits"]
    assert (as_they_are["faces"], many["faces"]) == (120, 160)
    assert as_they_are["variants"] == 1
    for one in (as_they_are, many):
        assert {"age: kernel stage", "age: boosting", "gender: kernel stage"} < set(one["stages"])
        assert sum(one["stages"].values()) == pytest.approx(one["seconds"], abs=0.5)
        # Linux counts the memory of this process, which has run other tests, in those that it starts.
        assert 50 < one["peak_mb"] < 1000 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert one["out_of_fold"]["n_age"] == one["faces"]
    assert "peak memory" in capsys.readouterr().out


def test_faces_drawn_again_differ_by_noise(load: Any) -> None:
    fit = load("fit")
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    rows = np.repeat(np.arange(50), 400)
    many = fit.resampled(x, rows, 0)
    assert (many == fit.resampled(x, rows, 0)).all()
    assert (many != fit.resampled(x, rows, 1)).any()
    assert len(np.unique(many, axis=0)) == len(many)
    np.testing.assert_allclose((many - x[rows]).std(axis=0), fit.NOISE * x.std(axis=0), rtol=0.05)


def test_the_start_is_not_part_of_a_rate(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = load("gpu")

    def run(tree: Path, work: Path, task: str, count: int, device: str) -> tuple[float, float, int]:
        return (2.0, 4.0, 500) if count == gpu.START["crops"] else (12.0, 34.0, 1900)

    monkeypatch.setattr(gpu, "run", run)
    measurement = gpu.measured(Path(), Path(), "crops", 1064, "cuda", rounds=2)
    assert measurement.row("crops") == ("crops", "100", "30.0", "1,900 MiB")
    assert gpu.Measurement(100.0, 30.0, 0).row("crops")[-1] == "-"


def test_labels_that_random_choice_needs_for_the_same_error(load: Any) -> None:
    module = load("next_labels")
    rows = [
        {"way": way, "seed": seed, "labels": labels, "mae": mae + shift}
        for way, curve in (("random", {100: 7.0, 400: 5.0}), ("data next", {100: 6.0, 200: 5.0, 300: 4.0}))
        for labels, mae in curve.items()
        for seed, shift in ((0, -0.5), (1, 0.5))
    ]
    found = module.summary(rows, "mae")
    assert [row["chosen"] for row in found] == [6, 5, 4]
    assert [row["random"] for row in found] == [7, None, None]
    assert [row["random_labels"] for row in found] == [pytest.approx(200), pytest.approx(400), None]
    assert [row["share"] for row in found] == [pytest.approx(0.5), pytest.approx(0.5), None]
    assert "50.0%" in module.as_text(found)


def test_errors_by_band_of_ages(load: Any) -> None:
    age = np.array([1, 5, 15, 85, 99], np.float32)
    error = np.array([1, 3, 5, 7, 9], np.float32)
    assert load("next_labels").mean_errors(error, age) == (5, pytest.approx((2 + 5 + 8) / 3))


def test_faces_to_label_next_are_new_ones(load: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)).astype(np.float32)
    known = np.arange(20)
    found = load("next_labels").next_faces(x, known, None, 30, rng)
    assert len(set(found.tolist()) - set(known.tolist())) == 30
