"""The scikit-learn transformer from images to descriptors."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from quick_extractor import Quick, picture
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from arcage import AgeHead, FaceEncoder, Predictor
from arcage.embedder.extractor import Extractor
from arcage.errors import ArcageError, InputError, NoFaceError, UsageError
from arcage.extraction import face_encoder
from arcage.types import Face, ImageFaces

APPLY = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_repr",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)
"""Checks of scikit-learn that give no data. It skips them too, with those that give arrays of numbers."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Descriptors that are made up from the picture."""
    monkeypatch.setattr(face_encoder, "Extractor", Quick)
    face_encoder._shared_extractor.cache_clear()
    yield
    face_encoder._shared_extractor.cache_clear()


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    return [str(tmp_path / f"{number}.png") for number in range(12)]


def pixels(path: str) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def test_one_row_for_each_image_in_their_order(paths: list[str]) -> None:
    out = FaceEncoder().fit_transform(paths)
    assert (out.shape, out.dtype) == ((12, 1024), np.float32)
    expected = [Quick().extract(Path(path).read_bytes()).descriptors[0] for path in paths]
    np.testing.assert_array_equal(out, np.array(expected, np.float32))
    assert not (out[0] == out[1]).all()
    np.testing.assert_array_equal(FaceEncoder().transform(paths[::-1]), out[::-1])
    assert FaceEncoder().transform([]).shape == (0, 1024)


def test_images_of_all_kinds(paths: list[str]) -> None:
    encoder = FaceEncoder()
    expected = encoder.transform(paths)
    content = [Path(path).read_bytes() for path in paths]
    for images in (
        tuple(paths),
        [Path(path) for path in paths],
        iter(paths),
        np.array(paths),
        np.array(paths)[:, None],
        np.array(paths, object),
        content,
        [io.BytesIO(data) for data in content],
    ):
        np.testing.assert_array_equal(encoder.transform(images), expected)
    decoded = [pixels(path) for path in paths]
    np.testing.assert_array_equal(encoder.transform(decoded), encoder.transform(np.stack(decoded)))


def test_columns_of_pandas(paths: list[str]) -> None:
    pd = pytest.importorskip("pandas")
    encoder = FaceEncoder().set_output(transform="pandas")
    table = pd.DataFrame({"path": paths, "note": 1.5}, index=range(100, 112))
    out = encoder.transform(table[["path"]])
    assert list(out.index) == list(table.index)
    assert list(out.columns) == list(encoder.get_feature_names_out())
    assert list(out.columns[:2]) == ["faceencoder0", "faceencoder1"]
    expected = FaceEncoder().transform(paths)
    np.testing.assert_array_equal(out.to_numpy(), expected)
    np.testing.assert_array_equal(FaceEncoder().transform(table["path"]), expected)
    columns = ColumnTransformer([("face", FaceEncoder(), "path"), ("rest", "passthrough", ["note"])])
    np.testing.assert_array_equal(columns.fit_transform(table), np.c_[expected, np.full(12, 1.5)])
    with pytest.raises(InputError, match=r"shape \(12, 2\): give .* one column of paths"):
        FaceEncoder().transform(table)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("a.jpg", "not a list of images but a str"),
        (b"data", "not a list of images but a bytes"),
        (Path("a.jpg"), "not a list of images"),
        (5, "not a list of images but a int"),
        (np.zeros((8, 8, 3), np.uint8), r"shape \(8, 8, 3\)"),
        (np.zeros((8, 8)), r"shape \(8, 8\)"),
        ([None], "image 0.*None is no image"),
        ([np.zeros((8, 8, 3))], "image 0"),
        (np.zeros((2, 8, 8, 3)), "image 0"),
    ],
)
def test_what_is_no_list_of_images(images: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        FaceEncoder().transform(images)
    assert isinstance(raised.value, ArcageError)


def test_images_without_a_face(paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    images = [paths[0], str(tmp_path / "notes.jpg"), str(tmp_path / "none.jpg"), paths[1]]
    with pytest.raises(
        NoFaceError, match=r"2 of 4 images have no descriptor: image 1 \(.*notes\.jpg\): .*; image 2"
    ):
        FaceEncoder().fit_transform(images)
    out = FaceEncoder(missing="nan").transform(images)
    assert np.isnan(out).all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_array_equal(out[[0, 3]], FaceEncoder().transform([paths[0], paths[1]]))
    with pytest.raises(NoFaceError, match=r"no face with this min_score.* and 7 more"):
        FaceEncoder(min_score=0.8).transform(paths)
    assert FaceEncoder(min_score=0.7).transform(paths).shape == (12, 1024)


def test_which_of_several_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(0, 0, 60, 60), (40, 45, 60, 55), (0, 0, 90, 90)]
    image = ImageFaces(
        sha256="0" * 64,
        width=100,
        height=100,
        status="ok",
        error="",
        faces=tuple(
            Face(np.array(box, np.float32), np.zeros((5, 2), np.float32), score)
            for box, score in zip(boxes, (0.9, 0.8, 0.5), strict=True)
        ),
        descriptors=np.repeat(np.arange(3, dtype=np.float16)[:, None], 1024, axis=1),
    )
    monkeypatch.setattr(Quick, "_describe", lambda *_: iter([(0, image)]))

    def chosen(**settings: Any) -> float:
        return float(FaceEncoder(**settings).transform([picture(1)])[0, 0])

    assert chosen() == 2
    assert chosen(faces="center") == 1
    assert chosen(min_score=0.7) == 0


def test_parameters_are_kept_as_given_and_checked_when_used(paths: list[str]) -> None:
    encoder = FaceEncoder("no such", faces="all", missing="zero", cache=Path("c"))  # type: ignore[arg-type]
    assert clone(encoder).get_params() == {
        "pack": "no such",
        "device": "auto",
        "faces": "all",
        "missing": "zero",
        "cache": Path("c"),
        "min_score": 0.0,
        "min_face": 40,
    }
    for settings in (
        {"faces": "all"},
        {"missing": "zero"},
        {"pack": "no such"},
        {"min_score": 2},
        {"min_face": 1},
        {"pack": None},
        {"device": None},
        {"cache": ""},
        {"cache": 3},
    ):
        for use in (lambda one: one.fit(paths), lambda one: one.transform(paths)):
            with pytest.raises(UsageError):
                use(FaceEncoder(**settings))  # type: ignore[arg-type]


def test_scikit_learn_finds_no_fault() -> None:
    """scikit-learn skips most checks for an estimator that does not take two-dimensional arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        found = check_estimator(FaceEncoder(), on_skip=None)
    assert {one["status"] for one in found} == {"passed"}
    for name in APPLY:
        getattr(estimator_checks, name)("FaceEncoder", FaceEncoder())
    tags = get_tags(FaceEncoder())
    assert (tags.requires_fit, tags.input_tags.two_d_array, tags.input_tags.string) == (False, False, True)
    check_is_fitted(FaceEncoder())


def test_it_has_no_state(paths: list[str]) -> None:
    encoder = FaceEncoder()
    before = dict(vars(encoder))
    out = encoder.fit(paths).transform(paths)
    assert vars(encoder) == before
    assert len(pickle.dumps(encoder)) < 1000
    again = pickle.loads(pickle.dumps(encoder))  # noqa: S301
    np.testing.assert_array_equal(again.transform(paths), out)


def test_the_fingerprint_is_that_of_other_programs() -> None:
    assert FaceEncoder().fingerprint == Extractor().fingerprint


def test_in_a_pipeline_with_a_cache(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = np.arange(12) * 7.0
    log = tmp_path / "log"
    monkeypatch.setenv("QUICK_LOG", str(log))
    encoder = FaceEncoder(cache=tmp_path / "cache")
    chain = make_pipeline(encoder, Ridge())
    expected = cross_val_predict(make_pipeline(FaceEncoder(), Ridge()), paths, age, cv=3)
    assert len(log.read_text().splitlines()) > 12
    log.unlink()
    np.testing.assert_array_equal(cross_val_predict(chain, paths, age, cv=3), expected)
    assert len(log.read_text().splitlines()) == 12
    search = GridSearchCV(chain, {"ridge__alpha": [1, 2], "faceencoder__faces": ["largest", "center"]}, cv=2)
    search.fit(paths, age)
    assert len(log.read_text().splitlines()) == 12
    assert search.predict(paths).shape == (12,)


def test_in_worker_processes(paths: list[str], tmp_path: Path) -> None:
    """They have the real extractor, which finds all images in the cache."""
    chain = make_pipeline(FaceEncoder(cache=tmp_path / "cache"), Ridge())
    age = np.arange(12) * 7.0
    expected = cross_val_predict(chain, paths, age, cv=2)
    try:
        with joblib.parallel_config("loky", n_jobs=2):
            found = cross_val_predict(chain, paths, age, cv=2)
    finally:
        get_reusable_executor().shutdown(wait=True)
    np.testing.assert_array_equal(found, expected)
    with joblib.parallel_config("threading", n_jobs=2):
        np.testing.assert_array_equal(cross_val_predict(chain, paths, age, cv=2), expected)


def test_descriptors_of_the_real_networks(
    photo: bytes, bundled: None, compiled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Heads that were saved with the encoder's fingerprint predict the same in a Predictor."""
    monkeypatch.setattr(face_encoder, "Extractor", Extractor)
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    encoder = FaceEncoder(cache=tmp_path / "cache")
    x = encoder.transform([photo])
    noise = np.random.default_rng(0).normal(size=(40, x.shape[1])).astype(np.float32)
    head = AgeHead("linear", folds=2).fit(x + noise, np.arange(40) * 2.0)
    head.save(tmp_path / "heads", encoder.fingerprint, pack="compact")
    (face,) = Predictor(heads=tmp_path / "heads", cache=tmp_path / "cache").predict(photo)
    assert face.age == pytest.approx(float(head.predict(x)[0]), abs=0.01)
    assert face.gender is None
    np.testing.assert_allclose(
        AgeHead.load(fingerprint=encoder.fingerprint).predict(x), 34, atol=10
    )  # the bundled head


def test_importing_arcage_does_not_import_scikit_learn() -> None:
    code = "import sys, arcage; before = 'sklearn' in sys.modules; arcage.FaceEncoder; assert not before"
    subprocess.run([sys.executable, "-c", code], check=True)
