"""The images that an export calls by other paths."""

from __future__ import annotations

import time

from arcage.data.exported_names import cache_names


def found(paths: list[str], names: list[str]) -> dict[str, str]:
    return cache_names(paths, names, lambda name: names.count(name) == 1)


def test_one_number_of_folders_is_left_out_of_all_paths() -> None:
    names = ["x/a.jpg", "y/a.jpg", "x/b.jpg", "c.jpg"]
    paths = ["srv/x/a.jpg", "srv/y/a.jpg", "srv/x/b.jpg", "srv/z/c.jpg"]
    # srv/z/c.jpg is not c.jpg, which is in no folder.
    assert found(paths, names) == {
        "srv/x/a.jpg": "x/a.jpg",
        "srv/y/a.jpg": "y/a.jpg",
        "srv/x/b.jpg": "x/b.jpg",
    }
    assert found(["x/a.jpg", "a.jpg"], [*names, "a.jpg"]) == {"x/a.jpg": "x/a.jpg", "a.jpg": "a.jpg"}
    assert found(["/data/b.jpg"], ["b.jpg", "b.jpg"]) == {}
    assert found([], names) == {}


def test_uploaded_files_have_other_names() -> None:
    names = ["one/my photo (1).jpg", "two/b.jpg", "three/b.jpg", "é.jpg"]
    paths = [f"data/upload/1/0a1b2c3d-{name}" for name in ("my_photo_1.jpg", "b.jpg", "é.jpg")]
    # Two images are called b.jpg.
    assert found(paths, names) == {paths[0]: names[0], paths[2]: "é.jpg"}
    # The folder of the uploads was extracted.
    names = ["0a1b2c3d-a.jpg", "a.jpg"]
    assert found(["/data/upload/1/0a1b2c3d-a.jpg"], names) == {
        "/data/upload/1/0a1b2c3d-a.jpg": "0a1b2c3d-a.jpg"
    }


def test_deep_paths_take_no_time() -> None:
    start = time.process_time()
    assert found(["a/" * 4000 + f"{n}.jpg" for n in range(50)], ["a.jpg"]) == {}
    assert time.process_time() - start < 2
