"""IMDB-WIKI: labels are cleaned by rules, and damaged files are refused without a crash."""

from __future__ import annotations

import csv
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import image, write
from scipy.io import savemat

from arcage.data import imdb_wiki
from arcage.data.imdb_wiki import RULES, clean, counts, csv_of
from arcage.data.join import labelled_faces
from arcage.errors import OutputError, UsageError

NAN, NONE = np.nan, -np.inf
ENTRIES = [
    # full_path, date of birth, photo_taken, gender (1 male), name, face_score, second_face_score
    ("17/a_1981-05-05_2009.jpg", "1981-05-05", 2009, 1, "Sami Jauhojärvi", 4.3, NAN),
    ("17/b_1981-07-01_2009.jpg", "1981-07-01", 2009, 0, "Ada", 3.5, NAN),
    ("18/c_1981-07-02_2009.jpg", "1981-07-02", 2009, 0, "Ada", 3.5, NAN),
    ("18/d_1900-01-01_2000.jpg", "1900-01-01", 2000, NAN, "", 1.1, NAN),
    ("19/e_1900-01-01_2001.jpg", "1900-01-01", 2001, 1, "Old", 1.1, NAN),
    ("19/f_2010-01-01_2009.jpg", "2010-01-01", 2009, 1, "Unborn", 1.1, NAN),
    ("19/g_0000-00-00_2009.jpg", None, 2009, 1, "Undated", 1.1, NAN),
    ("20/h_1981-05-05_2009.jpg", "1981-05-05", 2009, 1, "Faceless", NONE, NAN),
    ("20/i_1981-05-05_2009.jpg", "1981-05-05", 2009, 1, "Two", 2.0, 1.9),
    ("20/j_1900-01-01_2009.jpg", "1900-01-01", 2009, 1, "All wrong", NONE, 1.9),
    ("17/a_1981-05-05_2009.jpg", "1981-05-05", 2009, 1, "Sami Jauhojärvi", 4.3, NAN),
    ("21/k, 2_2009-06-30_2009.jpg", "2009-06-30", 2009, 0, 'Bo "B" Doe', 1.0, NAN),
]
EXPECTED = {
    "entries": 12,
    "no face": 2,
    "two faces": 1,
    "impossible age": 3,
    "path twice": 1,
    "kept": 5,
    "gender unknown": 1,
}


def matlab_day(text: str | None) -> int:
    """Return a day as MATLAB's datenum: 1 January of the year 0 is day 1."""
    return 0 if text is None else int(np.datetime64(text, "D").astype(int)) + 719529


def cells(texts: list[str]) -> Any:
    column = np.empty(len(texts), object)
    column[:] = texts
    return column


def mat(path: Path, name: str = "wiki", entries: list[Any] = ENTRIES, **changes: Any) -> Path:
    """Write a file of the published form: a struct of rows, with texts in cells."""
    columns = list(zip(*entries, strict=True))
    fields = {
        "dob": np.array([matlab_day(day) for day in columns[1]], np.int32),
        "photo_taken": np.array(columns[2], np.uint16),
        "full_path": cells(columns[0]),
        "gender": np.array(columns[3], float),
        "name": cells(columns[4]),
        "face_location": cells([np.array([[1.0, 1, 90, 90]])] * len(entries)),
        "face_score": np.array(columns[5], float),
        "second_face_score": np.array(columns[6], float),
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: {k: v for k, v in fields.items() if v is not None}}, do_compression=True)
    return path


@pytest.mark.parametrize("name", ["imdb", "wiki"])
def test_cleaning(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out.csv"
    clean(mat(tmp_path / f"{name}.mat", name), out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == imdb_wiki.COLUMNS
    assert [row["path"] for row in rows] == [entry[0] for entry in ENTRIES]
    known = [(row["age"], row["gender"], row["person"]) for row in rows if not row["left_out"]]
    assert known == [
        ("28", "male", "Sami Jauhojärvi"),
        ("28", "female", "Ada"),
        ("27", "female", "Ada"),  # born the day after 1 July
        ("100", "", ""),
        ("0", "female", 'Bo "B" Doe'),
    ]
    for row in rows:
        if row["left_out"]:
            assert row["left_out"] in RULES
            assert row["age"] == row["gender"] == ""
    assert counts(out) == EXPECTED
    assert rows[7]["face_score"] == "-inf"
    assert rows[8]["second_face_score"] == "1.9"
    assert rows[0]["born"] == "1981-05-05"
    assert rows[6]["born"] == ""


def test_the_labels_of_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mat(tmp_path / "wiki_crop" / "wiki.mat")
    cache = write(tmp_path / "cache", [(e[0], image(e[0], [(n, 0)])) for n, e in enumerate(ENTRIES[:10])])
    faces = labelled_faces(cache, str(path))
    assert faces.counts.used == 4
    assert faces.counts.missing == 1
    assert faces.counts.unlabelled == 6
    assert sorted(faces.age.tolist()) == [27, 28, 28, 100]
    assert faces.source.tolist() == ["wiki.mat"] * 4
    assert str(faces.notes[0]) == "21/k, 2_2009-06-30_2009.jpg (wiki.mat, line 13) is not in the cache"
    made = path.with_name("wiki.arcage.csv")
    assert counts(made) == EXPECTED == faces.rules["wiki.mat"]
    assert faces.remarks()[0] == (
        "wiki.mat: entries 12, no face 2, two faces 1, impossible age 3, path twice 1, kept 5, "
        "gender unknown 1; the cleaned labels are next to it as CSV"
    )

    # The .mat file is not read again unless it is newer than the CSV file.
    monkeypatch.setattr(imdb_wiki, "clean", lambda *_: pytest.fail("read again"))
    assert len(labelled_faces(cache, str(path))) == 4
    monkeypatch.undo()
    mat(path, entries=ENTRIES[:2])
    os.utime(made, (1, 1))
    assert len(labelled_faces(cache, str(path))) == 2

    # `imdb-wiki` finds the file where the archive was unpacked.
    for folder in (tmp_path, tmp_path / "wiki_crop"):
        monkeypatch.chdir(folder)
        assert len(labelled_faces(cache, "imdb-wiki")) == 2
    monkeypatch.chdir(tmp_path / "cache")
    with pytest.raises(UsageError, match=r"neither imdb\.mat nor wiki\.mat is in .*such as photos"):
        labelled_faces(cache, "imdb-wiki")


def test_both_sets_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mat(tmp_path / "wiki.mat", entries=ENTRIES[:2])
    mat(tmp_path / "imdb_crop" / "imdb.mat", "imdb", ENTRIES[2:4])
    cache = write(tmp_path / "cache", [(e[0], image(e[0])) for e in ENTRIES[:4]])
    monkeypatch.chdir(tmp_path)
    faces = labelled_faces(cache, "imdb-wiki")
    assert sorted(faces.source.tolist()) == ["imdb.mat", "imdb.mat", "wiki.mat", "wiki.mat"]


def nested(depth: int) -> bytes:
    """Return nested cells, for which scipy's reader overflows the stack."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    def header(matrix: int, name: bytes = b"") -> bytes:
        flags, size = struct.pack("<II", matrix, 0), struct.pack("<ii", 1, 1)
        return element(6, flags) + element(5, size) + element(1, name)

    inner = element(14, header(6) + element(9, struct.pack("<d", 1)))
    parts, length = [inner], len(inner)
    for level in range(depth):
        head = header(1, b"imdb" if level == depth - 1 else b"")
        parts.append(struct.pack("<II", 14, length + len(head)) + head)
        length += len(head) + 8
    return START + b"".join(reversed(parts))


START = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"


def bomb() -> bytes:
    """Return a megabyte that claims to be an array of 2^31 - 1 cells."""
    zeros = zlib.compressobj(1)
    head = struct.pack("<II", 14, 0xFFFFFFF0) + struct.pack("<IIII", 6, 8, 1, 0)
    head += struct.pack("<IIii", 5, 8, 1, 0x7FFFFFFF) + struct.pack("<HH", 1, 4) + b"imdb"
    many = (zeros.compress(bytes(1 << 20)) for _ in range(200))
    data = zeros.compress(head) + b"".join(many) + zeros.flush()
    return START + struct.pack("<II", 15, len(data)) + data


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:400] + bytes(255 - byte for byte in data[400:420]) + data[420:]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda data: b"", "damaged"),
        (lambda data: b"path,age\na,1\n" * 50, "damaged"),
        (half, "damaged"),
        (flipped, "damaged"),
        (lambda data: nested(100_000), "damaged"),
        (lambda data: bomb(), "damaged"),
        (lambda data: b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x200) + b"IM" + data, "7.3"),
        (lambda data: START, "there is no struct imdb or wiki"),
    ],
    ids=["empty", "text", "cut", "changed", "nested", "bomb", "HDF5", "nothing"],
)
def test_a_damaged_file(tmp_path: Path, make: Callable[[bytes], bytes], words: str) -> None:
    path = mat(tmp_path / "imdb.mat", "imdb")
    path.write_bytes(make(path.read_bytes()))
    with pytest.raises(UsageError, match=words) as raised:
        csv_of(path)
    assert "imdb.mat" in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["imdb.mat"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dob": None, "gender": None}, "the fields dob, gender are missing"),
        ({"dob": np.zeros(3)}, "differ in length"),
        ({"gender": cells(["m"] * len(ENTRIES))}, "gender is not numeric"),
        ({"face_score": np.array(["1"] * len(ENTRIES))}, "face_score is not numeric"),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        clean(mat(tmp_path / "imdb.mat", "imdb", **changes), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_strange_values_are_left_out(tmp_path: Path) -> None:
    n = len(ENTRIES)
    path = mat(
        tmp_path / "imdb.mat",
        "imdb",
        dob=np.array([NAN, np.inf, -5, 1e18, *[730000.0] * (n - 4)]),
        photo_taken=np.array([2009, 2009, 2009, 2009, NAN, np.inf, *[2010.0] * (n - 6)]),
        full_path=cells(["", 5, [], *[f"{i}\n.jpg" for i in range(n - 3)]]),
        gender=np.full(n, 7.0),
        face_score=np.ones(n),
        second_face_score=np.full(n, NAN),
    )
    clean(path, tmp_path / "out.csv")
    found = counts(tmp_path / "out.csv")
    assert found["impossible age"] == 6
    assert found["kept"] == found["gender unknown"] == n - 6


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no such file"):
        csv_of(tmp_path / "imdb.mat")
    path = mat(tmp_path / "imdb.mat", "imdb")
    with pytest.raises(OutputError, match="create the folder first"):
        clean(path, tmp_path / "new" / "out.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(UsageError, match=r"arcage data clean .*imdb\.mat`, and use that file"):
        csv_of(path)
    monkeypatch.setattr(imdb_wiki, "MAX_FILE_BYTES", 100)
    with pytest.raises(UsageError, match="100 bytes or less"):
        clean(path, tmp_path / "out.csv")
    bad = tmp_path / "bad.csv"
    bad.write_text("path,left_out\na,some rule\n")
    with pytest.raises(UsageError, match="delete it, and it is written again"):
        counts(bad)


def test_cleaning_by_command(
    arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mat(Path("wiki.mat"))
    done = arcage("data", "clean", "wiki.mat", "--out", "wiki.csv")
    assert done.exit_code == 0, done.stderr
    assert (
        done.stderr
        == "entries 12, no face 2, two faces 1, impossible age 3, path twice 1, kept 5, gender unknown 1\n"
    )
    assert counts(Path("wiki.csv")) == EXPECTED
    for arguments, words in (
        (("none.mat", "--out", "a.csv"), "no such file"),
        (("wiki.mat", "--out", "a.txt"), ".csv"),
        (("wiki.csv", "--out", "a.csv"), "damaged"),
    ):
        done = arcage("data", "clean", *arguments)
        assert done.exit_code == UsageError.exit_code
        assert words in done.stderr
    assert not Path("a.csv").exists()
