from __future__ import annotations

import pytest
import torch
from torch import Tensor

from latentedit.training.gan.sliced import SlicedFeatures

WIDTHS = (2, 3, 4, 4)


@pytest.fixture
def sliced() -> SlicedFeatures:
    torch.manual_seed(0)
    return SlicedFeatures(WIDTHS, reals=64, fakes=32, directions=32, refresh=4)


def described(count: int, *, scale: float = 1.0, shift: float = 0.0) -> list[Tensor]:
    return [torch.randn(count, width) * scale + shift for width in (*WIDTHS, 4, 4)]


def measured(sliced: SlicedFeatures, steps: int = 40, **fakes: float) -> float:
    """Mean distance once both queues are full."""
    torch.manual_seed(1)
    distances = []
    for step in range(steps):
        sliced.before_step(step)
        sliced.remember(described(8))
        distances.append(float(sliced.distance(described(8, **fakes))))
    return sum(distances[12:]) / len(distances[12:])


def test_stages_become_means_and_mixed_cells_of_the_two_coarsest(sliced: SlicedFeatures) -> None:
    stages = [torch.randn(5, c, 16 >> i, 16 >> i) for i, c in enumerate(WIDTHS)]
    rows = sliced.describe(stages)
    assert [tuple(row.shape) for row in rows] == [(5, c) for c in (*WIDTHS, 4, 4)]
    for stage, row in zip(stages, rows, strict=False):
        torch.testing.assert_close(row, stage.mean((2, 3)))
    flipped = sliced.describe([stage.flip(-1) for stage in stages])
    torch.testing.assert_close(rows[:4], flipped[:4])  # means do not know where
    assert not torch.allclose(rows[4], flipped[4])


def test_nothing_is_asked_before_both_queues_are_full(sliced: SlicedFeatures) -> None:
    for step in range(12):
        sliced.before_step(step)
        sliced.remember(described(8))
        distance = float(sliced.distance(described(8, shift=3)))
        assert (distance > 0) == (step >= 8)  # 8 batches fill the reals, every 4th whitens


def test_the_distance_tells_shift_and_spread_from_equal_sets() -> None:
    def fresh(**fakes: float) -> float:
        torch.manual_seed(0)
        made = SlicedFeatures(WIDTHS, reals=64, fakes=32, directions=32, refresh=4)
        return measured(made, **fakes)

    equal = fresh()
    assert fresh(shift=1.0) > 4 * equal
    assert fresh(scale=0.3) > 4 * equal
    assert fresh(scale=2.0) > 4 * equal


def test_it_does_not_depend_on_the_scale_of_the_features() -> None:
    def fresh(times: float) -> float:
        torch.manual_seed(0)
        made = SlicedFeatures(WIDTHS, reals=64, fakes=32, directions=32, refresh=4)
        torch.manual_seed(1)
        distance = torch.zeros(())
        for step in range(20):
            made.before_step(step)
            made.remember([row * times for row in described(8)])
            distance = made.distance([row * times for row in described(8, shift=1)])
        return float(distance)

    assert fresh(1000.0) == pytest.approx(fresh(1.0), rel=1e-3)


def test_following_the_gradient_spreads_what_had_collapsed(sliced: SlicedFeatures) -> None:
    """Points that all lie together take on the reals' mean and spread."""
    torch.manual_seed(2)
    points = [(torch.randn(8, width) * 0.05).requires_grad_() for width in (*WIDTHS, 4, 4)]
    optimizer = torch.optim.Adam(points, lr=0.05)
    for step in range(400):
        sliced.before_step(step)
        sliced.remember(described(8, scale=2.0, shift=5.0))
        loss = sliced.distance(points)
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for rows in points:
        assert rows.mean().item() == pytest.approx(5.0, abs=0.7)
        assert rows.std(0).mean().item() == pytest.approx(2.0, abs=0.8)


def test_the_oldest_rows_are_replaced(sliced: SlicedFeatures) -> None:
    batches = [described(24) for _ in range(3)]
    for batch in batches:
        sliced.remember(batch)
    queue = sliced.get_buffer("real_0")  # 64 rows: the third batch pushed out a third of the first
    expected = torch.cat((batches[0][0][8:], batches[1][0], batches[2][0]))
    torch.testing.assert_close(queue, expected)
    sliced.remember(described(100))  # more than it holds
    assert queue.shape == (64, WIDTHS[0])


def test_gradients_reach_the_stages(sliced: SlicedFeatures) -> None:
    torch.manual_seed(3)
    for step in range(12):
        sliced.before_step(step)
        sliced.remember(described(8))
        stages = [torch.randn(8, c, 8, 8, requires_grad=True) for c in WIDTHS]
        distance = sliced.distance(sliced.describe(stages))
    distance.backward()
    assert all(stage.grad is not None and stage.grad.abs().sum() > 0 for stage in stages)


def test_its_memory_is_part_of_its_state(sliced: SlicedFeatures) -> None:
    measured(sliced, steps=15)
    torch.manual_seed(7)
    other = SlicedFeatures(WIDTHS, reals=64, fakes=32, directions=32, refresh=4)
    other.load_state_dict(sliced.state_dict())
    results = []
    for copy in (sliced, other):
        torch.manual_seed(8)
        copy.remember(described(8))
        results.append(float(copy.distance(described(8, shift=1))))
    assert results[0] == results[1]
