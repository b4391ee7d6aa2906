"""Images, videos and Parquet files by their suffixes."""

from __future__ import annotations

from arcage.sources.suffixes import is_one_image, is_video, suffix


def test_suffix() -> None:
    assert suffix("a/B.JPG") == ".jpg"
    assert suffix("https://h/a.PNG?sig=x.gif") == ".png"
    assert suffix("zip://d/a.webp::s3://b/c.zip") == ".webp"
    assert suffix("a/.jpg") == ""


def test_is_video() -> None:
    assert is_video("a.MP4")
    assert is_video("https://h/a.webm?x=1")
    assert not is_video("a.jpg")


def test_is_one_image() -> None:
    assert all(map(is_one_image, ("s3://b/a.JPG", "HTTPS://h/a.JPG?sig=1", "s3://b/a.mp4", "no-such-file")))
    assert not any(map(is_one_image, ("s3://b/photos", "s3://b/x.parquet", "x.parquet", ".")))
    assert not is_one_image("https://h/photos/")
