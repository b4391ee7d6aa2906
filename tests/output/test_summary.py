"""The counts of a run, in words and as an exit code."""

from __future__ import annotations

import pytest

from arcage.output.summary import Summary
from arcage.sources.own_faces import aligned_crop, own_faces

NOTHING, GOOD, EMPTY, BROKEN = (
    Summary(),
    Summary(ok=1, faces=1, last="a.jpg"),
    Summary(no_face=1, last="a.jpg"),
    Summary(unreadable=1, last="a.jpg"),
)
SEVERAL = Summary(ok=1, no_face=1, unreadable=1, faces=1, last="c.jpg")


@pytest.mark.parametrize(
    ("summary", "only", "code"),
    [
        (GOOD, "a.jpg", 0),
        (EMPTY, "a.jpg", 1),
        (BROKEN, "a.jpg", 1),
        (EMPTY, "folder", 0),
        (EMPTY, None, 0),
        (SEVERAL, "folder", 0),
        (NOTHING, "folder", 1),
    ],
)
def test_exit_code(summary: Summary, only: str | None, code: int) -> None:
    assert summary.exit_code(only=only) == code


def test_exit_code_of_a_strict_run_and_of_a_part() -> None:
    assert [one.exit_code(strict=True) for one in (GOOD, EMPTY, BROKEN, SEVERAL, NOTHING)] == [0, 1, 1, 1, 1]
    assert NOTHING.exit_code(shard=True) == 0
    assert NOTHING.exit_code(shard=True, strict=True) == 1


def test_own_boxes_are_counted() -> None:
    summary = Summary(ok=3)
    summary.add_given(None, [0.9])
    summary.add_given(aligned_crop(), [1.0])
    summary.add_given(own_faces([]), [])
    summary.add_given(own_faces([[0, 0, 40, 40]] * 3), [0.0, 0.9, 0.0])
    assert (summary.without_box, summary.unconfirmed) == (1, 2)
    assert summary.messages("in/")[1:] == [
        "1 image has no box in `boxes`",
        "no face was confirmed in 2 boxes: det_score is 0, and a face was assumed there",
    ]
    assert Summary(ok=3, without_box=1200).messages("in/")[1] == "1,200 images have no box in `boxes`"


def test_messages() -> None:
    assert NOTHING.messages("in/") == NOTHING.messages("in/", quiet=True) == ["no images found in in/"]
    assert GOOD.messages("a.jpg") == []
    assert SEVERAL.messages("in/") == [str(SEVERAL)]
    assert SEVERAL.messages("in/", quiet=True) == []
    one = Summary(ok=1, multi_frame=1)
    words = "more than one picture (an animation or pages): the first was read"
    assert one.messages("a.gif") == [f"an image has {words}"]
    many = Summary(ok=2000, multi_frame=1200)
    assert many.messages("in/") == [str(many), f"1,200 images have {words}"]
    assert many.messages("in/", quiet=True) == []
    words = (
        "unlike the faces that the heads were fitted on (familiarity below 0.00005): do not rely on what is "
        "predicted for them"
    )
    assert Summary(ok=1, unfamiliar=1).messages("a.gif") == [f"1 face is {words}"]
    several = Summary(ok=900, multi_frame=1, unfamiliar=1200)
    assert several.messages("in/")[-1] == f"1,200 faces are {words}"
    assert len(several.messages("in/")) == 3
