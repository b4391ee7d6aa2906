"""Heads as one file: written, read, and refused if damaged or hostile."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import faces

from arcage.errors import ForeignFileError, HeadsError, OutputError, UsageError
from arcage.heads.model import Heads
from arcage.heads.packed import CARD, IMAGES, MANIFEST, read_heads_file
from arcage.heads.store import ARRAYS, digests, fitted_images, load_heads, pack_heads, save_heads


@pytest.fixture(scope="module")
def folder(fitted: Heads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads") / "h"
    save_heads(fitted, folder, "the card", digests(np.array([bytes([n] * 32) for n in range(1, 50)], "S32")))
    return folder


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    pack_heads(str(folder), tmp_path / "heads.arcage")
    return tmp_path / "heads.arcage"


def test_packed_heads_are_those_of_the_folder(folder: Path, packed: Path) -> None:
    heads, expected = load_heads(packed), load_heads(folder)
    x = faces(50, 3)[0]
    for name in ("age", "age_low", "age_high", "p_female", "familiarity"):
        np.testing.assert_array_equal(getattr(heads.predict(x), name), getattr(expected.predict(x), name))
    assert heads.manifest == expected.manifest
    np.testing.assert_array_equal(fitted_images(heads), fitted_images(expected))
    assert read_heads_file(packed, CARD, 100) == b"the card"
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == [MANIFEST, ARRAYS, CARD, IMAGES]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_same_heads_have_the_same_sha256(folder: Path, packed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.ARCAGE"
    expected = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert pack_heads(str(folder), again) == expected
    assert pack_heads(str(packed), again) == expected, "packed heads are packed again"
    assert again.read_bytes() == packed.read_bytes()


def test_a_card_and_images_may_be_missing(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "h")
    (tmp_path / "h" / CARD).unlink()
    (tmp_path / "h" / IMAGES).unlink()
    pack_heads(str(tmp_path / "h"), tmp_path / "x.arcage")
    heads = load_heads(tmp_path / "x.arcage")
    assert fitted_images(heads) is None
    with pytest.raises(FileNotFoundError):
        read_heads_file(tmp_path / "x.arcage", CARD, 100)


def test_what_may_be_written(folder: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.arcage"):
        pack_heads(str(folder), tmp_path / "heads.zip")
    with pytest.raises(UsageError, match="no such file or folder"):
        pack_heads(str(tmp_path / "none"), packed)
    foreign = tmp_path / "photos.arcage"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("a.jpg", b"x")
    before = foreign.read_bytes()
    with pytest.raises(ForeignFileError):
        pack_heads(str(folder), foreign)
    assert foreign.read_bytes() == before
    pack_heads(str(folder), foreign, overwrite=True)
    assert foreign.read_bytes() == packed.read_bytes()
    with pytest.raises(OutputError, match="create the folder"):
        pack_heads(str(folder), tmp_path / "none" / "x.arcage")


def test_damaged_heads_are_not_packed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "h")
    (tmp_path / "h" / IMAGES).write_bytes(b"other")
    with pytest.raises(HeadsError, match="damaged"):
        pack_heads(str(tmp_path / "h"), tmp_path / "x.arcage")
    assert not (tmp_path / "x.arcage").exists()


def test_every_cut_is_refused(packed: Path, tmp_path: Path) -> None:
    data = packed.read_bytes()
    for size in (0, 3, 4, 21, 22, 30, 1000, len(data) // 2, len(data) - 23, len(data) - 1):
        cut = tmp_path / "cut.arcage"
        cut.write_bytes(data[:size])
        with pytest.raises(HeadsError, match=r"cut short|not a file of `arcage heads pack`"):
            load_heads(cut)


def test_every_changed_byte_is_refused_or_changes_nothing(packed: Path, tmp_path: Path) -> None:
    data, x = packed.read_bytes(), faces(5, 3)[0]
    expected = load_heads(packed).predict(x).age
    rng, changed = np.random.default_rng(0), tmp_path / "changed.arcage"
    ends = [*range(60), *range(len(data) - 300, len(data))]
    for place in [*ends, *rng.integers(len(data), size=100)]:
        new = bytearray(data)
        new[place] ^= 1 << int(rng.integers(8))
        changed.write_bytes(new)
        try:
            heads = load_heads(changed)
            np.testing.assert_array_equal(heads.predict(x).age, expected)
            fitted_images(heads)
        except HeadsError:
            continue


def rewritten(packed: Path, change: Callable[[zipfile.ZipFile, dict[str, bytes]], Any]) -> Path:
    """Write the members of packed heads again; ``change`` may add some, or return others."""
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (change(archive, files) or files).items():
            archive.writestr(name, content)
    packed.write_bytes(buffer.getvalue())
    return packed


def link(archive: zipfile.ZipFile, files: dict[str, bytes]) -> dict[str, bytes]:
    member = zipfile.ZipInfo(CARD)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")
    return {name: content for name, content in files.items() if name != CARD}


def compressed(archive: zipfile.ZipFile, files: dict[str, bytes]) -> dict[str, bytes]:
    archive.writestr(CARD, bytes(50_000_000), zipfile.ZIP_DEFLATED)
    return {name: content for name, content in files.items() if name != CARD}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _, files: {**files, "../evil.py": b"x"}, "evil.py' does not belong to heads"),
        (lambda _, files: {**files, "/etc/passwd": b"x"}, "does not belong to heads"),
        (lambda _, files: {f"h/{name}": content for name, content in files.items()}, "does not belong"),
        (lambda _, files: {**files, "x" * 5000: b""}, "do not belong to heads"),
        (lambda _, files: {**files, **{f"{n}.npy": b"" for n in range(1000)}}, "do not belong to heads"),
        (link, "model-card.md is a link"),
        (compressed, "model-card.md is compressed"),
        (lambda _, files: {MANIFEST: files[MANIFEST]}, "heads.npz is missing"),
        (lambda _, files: {**files, MANIFEST: b" " * (1 << 25)}, "manifest.json is too large"),
        (lambda _, files: {**files, ARRAYS: files[ARRAYS] + b" "}, "sha256 differs"),
    ],
)
def test_hostile_members_are_refused(packed: Path, change: Any, words: str) -> None:
    with pytest.raises(HeadsError, match=words):
        load_heads(rewritten(packed, change))


def test_two_members_of_one_name_are_refused(packed: Path) -> None:
    def twice(archive: zipfile.ZipFile, files: dict[str, bytes]) -> None:
        archive.writestr(MANIFEST, b"{}")

    with pytest.warns(UserWarning, match="Duplicate"):
        rewritten(packed, twice)
    with pytest.raises(HeadsError, match="two files have the same name"):
        load_heads(packed)


def test_members_that_overlap_are_refused(packed: Path) -> None:
    """Sizes that together exceed the file would repeat the same bytes."""
    data = bytearray(packed.read_bytes())
    size = len(data).to_bytes(4, "little")
    directory = int.from_bytes(data[-6:-2], "little")
    entry = data.index(CARD.encode(), directory) - 46
    data[entry + 20 : entry + 28] = size + size
    packed.write_bytes(data)
    with pytest.raises(HeadsError, match="not as large as it says"):
        load_heads(packed)


def test_any_other_file_or_folder_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "photo.jpg"
    other.write_bytes(b"\xff\xd8\xff" * 100)
    with pytest.raises(HeadsError, match="not a file of `arcage heads pack`"):
        load_heads(other)
    with pytest.raises(HeadsError, match="neither a folder nor a file"):
        load_heads("/dev/null")
    (tmp_path / "x.arcage").mkdir()
    with pytest.raises(HeadsError, match="there are no heads in"):
        load_heads(tmp_path / "x.arcage")
