"""Options whose values have old names."""

from __future__ import annotations

import pytest

from arcage.console import options


def test_the_old_name_of_the_bundled_heads(capsys: pytest.CaptureFixture[str]) -> None:
    options._warn_of_wheel.cache_clear()
    assert [options.heads_name(name) for name in ("wheel", "wheel", "bundled", "mine", None)] == [
        *("bundled", "bundled", "bundled", "mine", None)
    ]
    assert capsys.readouterr().err == (
        "arcage: the heads wheel are now called bundled; the old name will be removed\n"
    )
