"""Arrow is only imported when it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_importing_does_not_load_pyarrow() -> None:
    code = "import sys, arcage.cache; sys.exit('pyarrow' in sys.modules)"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
