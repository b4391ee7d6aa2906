"""Pipelines and their fingerprints."""

from __future__ import annotations

from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import bundled_pack
from arcage.embedder.pipeline import fingerprint_of, pipeline_of


def test_the_pipeline_of_detected_faces_has_not_changed() -> None:
    assert Extractor().fingerprint == "cb908739b75c2f73"
    assert fingerprint_of(pipeline_of(bundled_pack())) == "cb908739b75c2f73"
    assert "faces" not in pipeline_of(bundled_pack())
    assert Extractor(variant=1).fingerprint == "63a285fe0405e75c"


def test_own_faces_have_other_fingerprints() -> None:
    extractor = Extractor()
    names = [extractor.cache_name(origin) for origin in ("detector", "boxes", "aligned")]
    assert names[0] == extractor.fingerprint
    assert len({*names, Extractor(variant=1).cache_name("boxes")}) == 4
    assert extractor.description_of("boxes") == {**extractor.description, "faces": "own boxes"}
    assert extractor.description_of("aligned")["faces"] == "aligned crops"
