"""Numbers of layers, and the mean over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.editing.layers import check_layers, layer_numbers, mean_over_layers
from latentedit.errors import LatentEditError


@given(st.lists(st.integers(0, 30), min_size=1))
def test_each_once_and_in_order(layers: list[int]) -> None:
    found = layer_numbers(layers)
    assert set(found) == set(layers)
    assert list(found) == sorted(set(found))
    assert layer_numbers(np.array(layers)) == found  # type: ignore[arg-type]
    check_layers(layers, max(layers) + 2)
    with pytest.raises(LatentEditError, match="no layers to name" if not max(layers) else "range"):
        check_layers(layers, max(layers) or 1)


@pytest.mark.parametrize("layers", [[], [-1], [0.5], [True], ["0"], [None]])
def test_what_are_no_layers(layers: list[Any]) -> None:
    with pytest.raises(LatentEditError, match="layer"):
        layer_numbers(layers)


def test_the_mean_over_layers() -> None:
    z = np.random.RandomState(0).standard_normal((2, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(mean_over_layers(z), z.mean(1), atol=1e-6)
    np.testing.assert_allclose(mean_over_layers(z, [3, 0]), (z[:, 0] + z[:, 3]) / 2, atol=1e-6)
    np.testing.assert_array_equal(mean_over_layers(z[:, 0], [3]), z[:, 0])
