"""Layers as arrays, and back."""

from __future__ import annotations

import numpy as np
from faces import faces

from arcage.heads.layers import from_arrays, to_arrays
from arcage.heads.model import Heads


def test_a_part_keeps_its_arrays(fitted: Heads) -> None:
    assert fitted.age is not None
    part = fitted.age.stack.kernels[0]
    again = from_arrays(to_arrays(part, "p"), "p")
    x = faces(5, 1)[0]
    assert again is not None
    np.testing.assert_allclose(again(x), part(x), rtol=1e-5, atol=1e-4)
