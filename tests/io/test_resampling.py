from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from latentedit.io.resampling import downsample, resize, upsample


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from((1, 2, 4)))
def test_reducing_undoes_enlarging(height: int, width: int, times: int) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    large = upsample(x, times)
    assert large.shape == (2, 3, height * times, width * times)
    assert torch.equal(large[..., ::times, times - 1 :: times], x)
    torch.testing.assert_close(downsample(large, times), x)


def test_reducing_takes_the_mean_of_each_block() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert downsample(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert downsample(x, 4).flatten().tolist() == [7.5]


@pytest.mark.parametrize("size", [4, 7, 8, 16])
def test_resizing_agrees_with_pillow(size: int) -> None:
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    picture = Image.fromarray(x[0, 0].numpy()).resize((size, size), Image.Resampling.BILINEAR)
    resized = resize(x, size)
    np.testing.assert_allclose(resized[0, 0].numpy(), np.array(picture), atol=1e-5)
    if size == 8:
        assert resized is x
