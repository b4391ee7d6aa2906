from __future__ import annotations

import pytest

from arcage.errors import UsageError
from arcage.images.limits import DecodeLimits, parse_limits


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GB", 10**9),
        ("1.5gb", 1_500_000_000),
        ("512 MiB", 512 << 20),
        ("2G", 2 * 10**9),
        ("2Ti", 2 << 40),
        (" 60000KB ", 60_000_000),
        ("123456789", 123_456_789),
        ("123456789B", 123_456_789),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_limits(text, 3.5) == DecodeLimits(memory=size, seconds=3.5)


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "1e9", "1,5GB", "1XB", "nan", "1GBB", "٣GB", "9" * 5000, "1.5ıB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`max_memory` is a size such as 500MB or 2GB"):
        parse_limits(text, 1)


def test_limits_that_no_image_can_meet_are_refused() -> None:
    with pytest.raises(UsageError, match="`max_memory` is 50 MB or more"):
        parse_limits("49MB", 1)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="`max_seconds` is more than 0"):
            DecodeLimits(seconds=seconds)
    with pytest.raises(UsageError, match="`max_memory` is 1,000,000 TB or less"):
        parse_limits("999999999999999TB", 1)
    assert (DecodeLimits().memory, DecodeLimits().seconds, DecodeLimits().pixels) == (
        1 << 30,
        10,
        100_000_000,
    )
