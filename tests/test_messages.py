"""Messages: consistent wording, numbers with their nouns, and advice."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import caches
import fakes
import pytest

from arcage.cache import Cache, ShardWriter
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.extractor import Extractor
from arcage.errors import CacheError, DeviceError, HeadsError, ImageError
from arcage.heads.model import Heads
from arcage.heads.store import load_heads
from arcage.images.decoder import decode
from arcage.output.summary import Summary

Run = Callable[..., Any]


def test_one_is_not_plural() -> None:
    summary = Summary(ok=1, faces=1, from_cache=1)
    assert str(summary) == (
        "1 image in 0.0 s: 1 with a face, 0 without, 0 unreadable; 1 face; 1 image was in the cache"
    )


CALLS = [
    ("predict --faces x y", "--faces takes all, largest or center; see `arcage predict --help`"),
    ("predict --min-score 3 y", "--min-score takes a number from 0 to 1; see `arcage predict --help`"),
    ("predict --min-score x y", "--min-score takes a number from 0 to 1; see `arcage predict --help`"),
    # Python accepts underscores in numbers; in a shell they are typing errors.
    (
        "predict --min-score 0_1 y",
        "--min-score takes a number from 0 to 1; see `arcage predict --help`",
    ),
    (
        "extract --cache c_1 --min-face=4_0 y",
        "--min-face takes a whole number of 8 or more; see `arcage extract --help`",
    ),
    (
        "fit --search 6_0 --cache x --labels y --out z",
        "--search takes a number; see `arcage fit --help`",
    ),
    ("predict --webcam -1", "--webcam takes a whole number of 0 or more; see `arcage predict --help`"),
    ("predict --under 0 y", "--under takes a whole number from 1 to 120; see `arcage predict --help`"),
    ("predict --under 18.5 y", "--under takes a whole number from 1 to 120; see `arcage predict --help`"),
    ("app --port 99999", "--port takes a whole number from 0 to 65535; see `arcage app --help`"),
    (
        "predict y --format x",
        "--format takes table, csv, excel-csv, jsonl, json, parquet, xlsx, coco, label-studio or fiftyone; "
        "see `arcage predict --help`",
    ),
    (
        "fit --search x --cache x --labels y --out z",
        "--search takes a number; see `arcage fit --help`",
    ),
    (
        "fit --cache x --labels y --out z --only q",
        "--only takes age or gender; see `arcage fit --help`",
    ),
    (
        "predict --nope",
        "no such option --nope (did you mean --annotate, --under or --boxes?); see `arcage predict --help`",
    ),
    ("--nope", "no such option --nope; see `arcage --help`"),
    ("predict --out", "--out needs a value"),
    ("predict y --quiet=3", "--quiet takes no value"),
    ("extract y", "--cache is missing; see `arcage extract --help`"),
    ("models fetch", "NAME is missing; see `arcage models fetch --help`"),
    ("data clean", "FILE.mat is missing; see `arcage data clean --help`"),
    ("nonsense", "no such command 'nonsense'; see `arcage --help`"),
    ("predct x", "no such command 'predct' (did you mean 'predict'?); see `arcage --help`"),
    ("doctor x", "too many arguments: x; see `arcage doctor --help`"),
    ("models list x y", "too many arguments: x y; see `arcage models list --help`"),
    ("models nonsense", "no such command 'nonsense'; see `arcage models --help`"),
]


@pytest.mark.parametrize(("call", "words"), CALLS)
def test_wrong_calls(arcage: Run, call: str, words: str) -> None:
    done = arcage(*call.split())
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"arcage: {words}\n")


@pytest.mark.parametrize("command", ["", "predict", "models", "models list", "data describe", "heads export"])
def test_a_short_name_of_help(arcage: Run, command: str) -> None:
    done = arcage(*command.split(), "-h")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: ")
    assert done.stdout == arcage(*command.split(), "--help").stdout


def test_groups_without_a_command_show_their_help(arcage: Run) -> None:
    for group in ((), ("models",), ("data",), ("heads",)):
        done = arcage(*group)
        assert done.exit_code == 2
        assert (done.stdout + done.stderr).startswith("Usage: ")


@pytest.mark.parametrize("device", ["gpu", "GPU", "nvidia", "cdua", "cuda:x"])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(DeviceError, match=f"no device {device.lower()!r}: use auto, cpu, cuda .*NVIDIA"):
        make_engine(device)


def test_other_spellings_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.engines.onnxruntime.installed_distributions", lambda: ())
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    for device in ("cuda:0", "CUDA"):
        with pytest.raises(DeviceError, match="ONNX Runtime is not installed: pip install"):
            make_engine(device)


def test_missing_heads(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "photos").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "heads.npz").write_text("")
    for name, words in (
        ("typo", "there is no folder or file .*typo: name a folder that `arcage fit` wrote, or a file of"),
        ("file", r"file cannot be read \(this is not a file of `arcage heads pack`\)"),
        ("photos", "there are no heads in .*photos: name a folder that `arcage fit` wrote"),
        ("broken", r"manifest\.json is missing\); fit them again"),
    ):
        with pytest.raises(HeadsError, match=words):
            load_heads(tmp_path / name)


def test_heads_name_their_pack() -> None:
    heads = Heads("a" * 16, 2, None, None, {"pack": "buffalo_l"})
    heads.check("a" * 16, "compact")
    with pytest.raises(
        HeadsError, match="model pack buffalo_l, not with compact; choose it with `pack` buff"
    ):
        heads.check("b" * 16, "compact")
    with pytest.raises(HeadsError, match="another version of the pack buffalo_l, or of arcage"):
        heads.check("b" * 16, "buffalo_l")
    unnamed = Heads("a" * 16, 2, None, None, {})
    with pytest.raises(
        HeadsError, match="do not record their model pack, which is not compact; choose the `p"
    ):
        unnamed.check("b" * 16, "compact")
    for one in (heads, unnamed):
        for pack in ("compact", "buffalo_l", ""):
            with pytest.raises(HeadsError) as caught:
                one.check("b" * 16, pack)
            assert not {"a" * 16, "b" * 16} & set(re.findall(r"\w+", str(caught.value)))


def test_caches_name_their_packs(tmp_path: Path, bundled: None) -> None:
    extractor = Extractor()
    assert extractor.description == {**extractor.pipeline, "pack": "compact"}
    for number, description in enumerate(
        ({"pack": "buffalo_l"}, {"pack": "buffalo_l", "degraded": {"number": 2}}, {})
    ):
        Cache(tmp_path, f"{number}" * 16, dimension=2, pipeline=description)
    with pytest.raises(CacheError) as caught:
        Cache(tmp_path, extractor.fingerprint, pipeline=extractor.description)
    assert str(caught.value) == (
        f"{tmp_path} has no descriptors of the pipeline compact, only of buffalo_l, buffalo_l, degraded "
        "variant 2, a pack without a name. Choose the `pack` that computed them; if an earlier version "
        "of arcage did, run `arcage extract` again."
    )


def test_caches_name_another_version_of_the_same_pack(tmp_path: Path) -> None:
    Cache(tmp_path, "1" * 16, dimension=2, pipeline={"pack": "mine"})
    with pytest.raises(
        CacheError, match=r"of the pipeline mine, only of another version of mine, or of arcag"
    ):
        Cache(tmp_path, "2" * 16, pipeline={"pack": "mine"})


def office() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("[Content_Types].xml", "")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"path,age\na.jpg,3\n",
            "text is not a supported image format: "
            "a list of images is read with `arcage predict --from-file`",
        ),
        ("ä.jpg\n".encode() * 2000, "text is not a supported image format: a list of images"),
        ("a.jpg".encode("utf-16"), "text is not a supported image format: a list of images"),
        (b'{"path": "a.jpg"}', "text is not a supported image format: a list of images"),
        (
            b"PK\x03\x04" + bytes(40),
            "a zip archive is not a supported image format: unpack it first, or drop it",
        ),
        (office(), "an Office document is not a supported image format: save its pictures as images first"),
        (b"%PDF-1.7", "a PDF document is not a supported image format: save its pictures as images first"),
        (b"\x1f\x8b\x08", "an archive is not a supported image format: unpack it first"),
        (b"a.jpg" + bytes(252) + b"ustar", "an archive is not a supported image format: unpack it first"),
        (b"PAR1", r"a Parquet file is not a supported image format: end its name in \.parquet"),
        (
            b"\0\0\0\x18ftypisom" + bytes(40),
            r"a video is not a supported image format: end its name in \.mp4, \.mkv or another",
        ),
        (
            b'<svg xmlns="http://www.w3.org/2000/svg"/>',
            "an SVG drawing is not a supported image format: save it as PNG",
        ),
        (b'<?xml version="1.0"?>\n<svg>', "an SVG drawing is not a supported image format: save it as PNG"),
        (b"<!doctype html><p>", "an HTML page is not a supported image format: download the picture itself"),
    ],
)
def test_files_that_are_not_images(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=f"^{words}"):
        decode(data)


def test_unknown_formats(arcage: Run) -> None:
    for data in (b"\x80\x81\x82", b"\x01\x02\x03"):
        with pytest.raises(ImageError, match=r"known format \(JPEG, PNG, .*, raw\)$"):
            decode(data)


def test_folders_without_photos(arcage: Run, tmp_path: Path) -> None:
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "heads.npz").write_text("")
    with ShardWriter(Cache(tmp_path / "cache", "a" * 16, dimension=2)) as writer:
        writer.add(caches.image("a"))
    for name, words in (
        ("heads", "holds heads, not images: give it with --heads"),
        ("cache", "is a cache of descriptors, not of images: give it with --cache"),
        ("cache/" + "a" * 16, "is a cache of descriptors, not of images: give it with --cache"),
    ):
        done = arcage("predict", tmp_path / name)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"arcage: {tmp_path / name} {words}\n"


def test_photos_next_to_their_cache(arcage: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(fakes.image(fakes.face()))
    for _ in range(2):
        assert arcage("extract", tmp_path, "--cache", tmp_path).exit_code == 0
    (tmp_path / "heads.npz").write_text("")
    done = arcage("predict", tmp_path, "--format", "csv")
    assert (done.exit_code, done.stdout.count("a.jpg,0,1,")) == (0, 1)


def test_a_table_for_excel(arcage: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arcage.data.tables import read_table
    from arcage.sources.lists import read_list

    monkeypatch.chdir(tmp_path)
    Path("é.jpg").write_bytes(fakes.image(fakes.face(30, 0.1)))
    done = arcage("predict", "é.jpg", "--format", "excel-csv")
    assert done.stdout.encode().startswith(b"\xef\xbb\xbfpath,face,faces,")
    plain = arcage("predict", "é.jpg", "--format", "csv")
    assert done.stdout.encode() == b"\xef\xbb\xbf" + plain.stdout.encode()
    for _ in range(2):  # a result of arcage may be replaced
        assert arcage("predict", "é.jpg", "--format", "excel-csv", "--out", "a.csv").exit_code == 0
    assert Path("a.csv").read_bytes() == done.stdout.encode()
    assert [label.age for label in read_table(Path("a.csv")).labels.values()] == [30]
    Path("list.txt").write_bytes("\ufeffé.jpg\n".encode())
    assert read_list("list.txt") == ["é.jpg"]
    done = arcage("predict", "é.jpg", "--format", "excel-csv", "--out", "a.jsonl")
    assert (done.exit_code, done.stderr) == (
        2,
        "arcage: --format excel-csv is written to .csv, but --out is a.jsonl: change one of them\n",
    )
