"""The surrogate of generator and classifier, on planted functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentedit.evaluation.edits.surrogate import Surrogate, fit_surrogate, held_out, load_surrogate


def planted(count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Latents [N, 6] and three logits: linear, of unequal scale, and bent."""
    z = np.random.RandomState(0).standard_normal((count, 6)).astype(np.float32)
    logits = np.stack([z[:, 0], 50 * z[:, 1] + 7, np.abs(z[:, 2]) - z[:, 3]], axis=1)
    return z, logits.astype(np.float32)


def test_it_learns_what_is_not_linear() -> None:
    z, logits = planted()
    found = fit_surrogate(z, logits, width=64)
    assert (found.r2 > (0.99, 0.99, 0.9)).all()  # a linear map reaches 0.73 of the last
    seen = found.network(torch.from_numpy(z[-held_out(len(z)) :])).numpy()
    missed = np.square(seen - logits[-150:]).mean(0) / logits[-150:].var(0)
    np.testing.assert_allclose(found.r2, 1 - missed, atol=1e-5)


def test_it_is_the_same_each_time_and_after_loading(one_thread: None) -> None:
    z, logits = planted(200)
    random = torch.get_rng_state()
    first, second = (fit_surrogate(z, logits, width=8).network for _ in range(2))
    assert torch.equal(torch.get_rng_state(), random)
    loaded = load_surrogate(
        {**{key: value.numpy() for key, value in first.state_dict().items()}, "r2": logits}
    )
    with torch.inference_mode():
        expected = first(torch.from_numpy(z))
        assert torch.equal(second(torch.from_numpy(z)), expected)
        assert torch.equal(loaded(torch.from_numpy(z)), expected)


def test_moving_costs_one_row_of_the_first_layer() -> None:
    torch.manual_seed(0)
    network = Surrogate(5, 3, width=8).requires_grad_(False)
    z, direction, step = torch.randn(4, 5), torch.randn(5), 1.7
    moved = network.first(z) + step * (network.first.weight @ direction)
    assert network.rest(moved).numpy() == pytest.approx(
        network(z + step * direction).numpy(), abs=1e-5
    )
