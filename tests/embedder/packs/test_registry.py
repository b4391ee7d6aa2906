"""The registry of packs that can be downloaded."""

from __future__ import annotations

import re

from arcage.embedder.packs.registry import PUBLISHED, RELEASE


def test_each_pack_has_an_address_a_size_and_a_licence() -> None:
    for name, pack in PUBLISHED.items():
        assert pack.name == name
        assert pack.url == f"{RELEASE}/{name}.zip"
        assert pack.megabytes > 0
        assert pack.licence
        assert re.fullmatch(r"([0-9a-f]{64})?", pack.sha256)
    assert str(PUBLISHED["buffalo_l"]) == "buffalo_l (289 MB)"
