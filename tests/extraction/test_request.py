"""Extraction as a user asks for it, on the fake pipeline."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FINGERPRINT, FakeExtractor, face, image

from arcage.cache import Cache
from arcage.embedder.workers import Workers
from arcage.errors import RemoteError, UsageError
from arcage.extraction.request import ExtractRequest, extract
from arcage.images.limits import DecodeLimits
from arcage.output.summary import Summary
from arcage.sources.inputs import Inputs, named_inputs


@pytest.fixture(autouse=True)
def photos(fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.jpg").write_bytes(image(face(30)))
    Path("in/b.jpg").write_bytes(image())


def request(**settings: Any) -> ExtractRequest:
    return ExtractRequest(named_inputs(["in"]), Path("cache"), **settings)


def test_variants_have_no_names_and_are_not_counted() -> None:
    titles: list[str] = []

    def progress(title: str, items: Any) -> Any:
        titles.append(title)
        return nullcontext(lambda: None)

    summary = extract(request(augment=2), progress=progress)
    assert (summary.images, summary.faces, summary.from_cache) == (2, 1, 0)
    assert titles == ["Extracting", "Variant 1 of 2", "Variant 2 of 2"]
    assert sorted(Cache.fingerprints("cache")) == [FINGERPRINT, f"{FINGERPRINT}-1", f"{FINGERPRINT}-2"]
    assert Cache("cache", FINGERPRINT).names().names.tolist() == ["a.jpg", "b.jpg"]
    assert extract(request()).from_cache == 2


def test_without_names() -> None:
    extract(request(names=False))
    assert len(Cache("cache", FINGERPRINT).names()) == 0


def test_a_fallback_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "note", "using the CPU")
    warned: list[str] = []
    extract(request(augment=1), warn=warned.append)
    assert warned == ["using the CPU"]


def test_a_server_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RemoteError("no network")
    monkeypatch.setattr("arcage.extraction.request.ReadAhead.error", error)
    assert extract(request(augment=2)).error is error
    assert Cache.fingerprints("cache") == [FINGERPRINT]


def test_standard_input_is_not_extracted_on_ray() -> None:
    inputs = Inputs(("-",), data=image())
    with pytest.raises(UsageError, match=r"^- is one image: leave out `engine` ray$"):
        extract(ExtractRequest(inputs, Path("cache"), engine="ray"))


def test_limits_of_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = DecodeLimits(memory=123_456_789, seconds=7)
    given: list[DecodeLimits] = []

    class Recorded(FakeExtractor):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            given.append(self.limits)

    monkeypatch.setattr("arcage.embedder.extractor.Extractor", Recorded)
    extract(request(augment=1, limits=limits))
    assert given == [limits, limits]


def test_ray_gets_the_device_and_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    def on_ray(sources: Any, cache: Any, extractor: Any, *, warn: Any, **_: Any) -> Summary:
        devices.append(extractor.device)
        warn("no GPU works")
        return Summary()

    monkeypatch.setattr("arcage.extraction.distributed.extract_on_ray", on_ray)
    warned: list[str] = []
    extract(request(engine="ray", device="cuda", augment=1), warn=warned.append)
    assert devices == ["cuda", "cuda"]
    assert warned == ["no GPU works"]


def test_worker_processes_and_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str, Workers]] = []

    class Recorded(FakeExtractor):
        engine = SimpleNamespace(device="cuda", note="")

        def stream(self, images: Any, lookup: Any = None, *, workers: Any = None, **_: Any) -> Any:
            used.append((self.device, workers))
            return super().stream(images, lookup)

    monkeypatch.setattr("arcage.embedder.extractor.Extractor", Recorded)
    monkeypatch.setattr("arcage.embedder.workers.cores", lambda: 16)
    monkeypatch.setattr("arcage.embedder.engines.gpus.all_gpus", lambda: ("cuda:0", "cuda:1"))
    extract(request())
    extract(request(workers=7))
    extract(request(device="cuda:all"))
    extract(request(device="cuda:all", workers=3))
    both = ("cuda:0", "cuda:1")
    assert used == [
        ("auto", Workers(4)),
        ("auto", Workers(7)),
        ("cuda:0", Workers(4, both)),
        ("cuda:0", Workers(3, both)),
    ]
    with pytest.raises(UsageError, match=r"^`workers` 1 cannot use 2 GPUs"):
        extract(request(device="cuda:all", workers=1))


def test_ray_gives_actors_their_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    def on_ray(sources: Any, cache: Any, extractor: Any, **_: Any) -> Summary:
        devices.append(extractor.device)
        return Summary()

    monkeypatch.setattr("arcage.extraction.distributed.extract_on_ray", on_ray)
    extract(request(engine="ray", device="cuda:all"))
    assert devices == ["cuda"]
    with pytest.raises(UsageError, match=r"^Ray gives each actor its GPU: `device` cuda, not cuda:1$"):
        extract(request(engine="ray", device="cuda:1"))
    with pytest.raises(UsageError, match="leave out `workers`"):
        extract(request(engine="ray", workers=2))
