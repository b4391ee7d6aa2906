"""Numbers and lists in messages."""

from __future__ import annotations

from arcage.text import alternatives, counted, format_number, gender_text, percent, shortened


def test_percent() -> None:
    assert [percent(0.914), percent(0.9149, 1), percent(1)] == ["91 %", "91.5 %", "100 %"]


def test_format_number() -> None:
    assert [format_number("{:.2f}", 4.2), format_number("{:.1%}", 0.5)] == ["4.20", "50.0 %"]


def test_counted() -> None:
    assert [counted(n, "face") for n in (0, 1, 2, 1200)] == ["0 faces", "1 face", "2 faces", "1,200 faces"]
    assert counted(1, "image was", "images were") == "1 image was"


def test_alternatives() -> None:
    assert alternatives(["a"]) == "a"
    assert alternatives(["a", "b"]) == "a or b"
    assert alternatives(["a", "b", "c"]) == "a, b or c"


def test_shortened() -> None:
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c"], 2) == "a, b and 1 more"
    assert shortened(["a"] * 1202, 2) == "a, a and 1,200 more"


def test_gender_text() -> None:
    assert [gender_text(0.97), gender_text(0.5), gender_text(0.1)] == [
        "female 97 %",
        "female 50 %",
        "male 90 %",
    ]
