"""The rule of the house: the tests of ``arcage/x/y.py`` are in ``tests/x/test_y.py``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
WITHOUT_TESTS = {
    "__main__.py": "an entry point: tests/process/test_interrupt.py starts it",
    "_version.py": "numbers: tests/test_stored.py reads and writes the formats that they count",
    "images/header.py": "a record without a method",
    "training/options.py": "records without a method",
}
"""Modules without a test module of their own, and why."""


def test_each_module_has_its_test_module() -> None:
    modules = {path.relative_to(ROOT / "arcage") for path in (ROOT / "arcage").rglob("*.py")}
    lacking = {
        module.as_posix()
        for module in modules
        if module.name != "__init__.py"  # a description, and names of other modules
        and not (ROOT / "tests" / module.with_name(f"test_{module.name}")).exists()
    }
    assert lacking == set(WITHOUT_TESTS)
