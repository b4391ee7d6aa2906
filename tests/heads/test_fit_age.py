"""The two kernels of the age head."""

from __future__ import annotations

import numpy as np
from faces import faces

from arcage.heads.model import Heads


def test_two_views_of_age_are_two_kernels_and_their_mean_is_where_boosting_starts(fitted: Heads) -> None:
    assert fitted.age is not None
    stack = fitted.age.stack
    assert len(stack.kernels) == 2
    x = faces(50, 5)[0]
    out_of_fold = stack.forward(x)
    one, other = (kernel(x) for kernel in stack.kernels)
    assert not np.allclose(one, other)
    np.testing.assert_allclose(stack.start(out_of_fold.outputs), (one[:, 0] + other[:, 0]) / 2, rtol=1e-5)
    np.testing.assert_allclose(out_of_fold.predictions, stack(x), rtol=1e-5, atol=1e-4)
