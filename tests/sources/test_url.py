"""Parsing of URLs."""

from __future__ import annotations

from arcage.sources.url import file_url_path, is_http, is_url, join_url, url_links, url_name, url_server


def test_is_url() -> None:
    assert all(map(is_url, ("s3://b/a.jpg", "memory://x", "file:///a", "gs://b")))
    assert not any(map(is_url, ("a.jpg", "C://photos", "/s3://b", "s3:/b", "./s3://b", "", "://b")))


def test_is_http() -> None:
    assert all(map(is_http, ("http://h/a", "HTTPS://h")))
    assert not any(map(is_http, ("s3://b", "zip://a::http://h/b.zip", "httpx://h", "a.jpg")))


def test_file_url_path() -> None:
    assert file_url_path("file:///a/b") == "/a/b"
    assert file_url_path("FILE:///C:/a") == "C:/a"
    assert file_url_path("local://a") == "a"
    assert file_url_path("s3://b/a") == "s3://b/a"


def test_url_name() -> None:
    assert url_name("http://h/a%20b.jpg?sig=x.png#f") == "a b.jpg"
    assert url_name("s3://b/a?b#c.jpg") == "a?b#c.jpg"
    assert url_name("zip://d/a.jpg::s3://b/c.zip") == "a.jpg"
    assert url_name("simplecache::http://h/a.jpg?x=1") == "a.jpg"
    assert url_name("http://h/") == "h"


def test_a_long_chain() -> None:
    assert url_links("zip::" * 50_000 + "a.zip") == ["zip"] * 50_000 + ["a.zip"]


def test_url_links() -> None:
    assert url_links("http://[::1]:80/a.jpg") == ["http://[::1]:80/a.jpg"]
    assert url_links("s3://b/a::b.jpg") == ["s3://b/a::b.jpg"]
    assert url_links("filecache::zip://a.jpg::c.zip") == ["filecache", "zip://a.jpg", "c.zip"]


def test_url_server() -> None:
    assert url_server("https://h:80/a/b?c") == "https://h:80"
    assert url_server("zip://a.jpg::s3://b/c.zip") == "s3://b"


def test_join_url() -> None:
    assert join_url("s3://b/a/", "c.jpg") == "s3://b/a/c.jpg"
    assert join_url("zip://::c.zip", "a.jpg") == "zip://a.jpg::c.zip"
    assert join_url("simplecache::zip://a::c.zip", "b.jpg") == "simplecache::zip://a/b.jpg::c.zip"
