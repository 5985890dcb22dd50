from __future__ import annotations

import pytest
import torch

from latentedit.training.calibration import fit_temperatures


def drawn(scale: float, count: int = 20000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers drawn from logits, which are then `scale` times too large."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, 1, generator=generator)
    answers = torch.rand(count, 1, generator=generator) < torch.sigmoid(logits)
    return logits * scale, answers.to(torch.int8)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(scale: float) -> None:
    assert fit_temperatures(*drawn(scale)).item() == pytest.approx(scale, rel=0.05)


def test_each_output_has_its_own_and_unknown_labels_do_not_count() -> None:
    first, second = drawn(0.5), drawn(2.0, seed=1)
    logits = torch.cat((first[0], second[0]), 1)
    targets = torch.cat((first[1], second[1]), 1)
    both = fit_temperatures(logits, targets)
    assert both.tolist() == pytest.approx([0.5, 2.0], rel=0.05)
    wrong = torch.cat((logits, -logits)), torch.cat((targets, torch.full_like(targets, -1)))
    torch.testing.assert_close(fit_temperatures(*wrong), both, rtol=1e-3, atol=0)


def test_an_output_without_both_answers_is_left_alone() -> None:
    logits = torch.randn(50, 3)
    targets = torch.ones(50, 3, dtype=torch.int8)
    targets[:, 1] = -1
    targets[:25, 2] = 0
    temperatures = fit_temperatures(logits, targets)
    assert temperatures[:2].tolist() == [1, 1]
    assert fit_temperatures(logits, torch.ones(50, 3)).tolist() == [1, 1, 1]


def test_logits_that_separate_perfectly_stay_within_bounds() -> None:
    logits = torch.linspace(-1, 1, 40)[:, None]
    assert fit_temperatures(logits, (logits > 0).to(torch.int8)).item() == pytest.approx(0.1)
    assert fit_temperatures(logits, (logits < 0).to(torch.int8)).item() == pytest.approx(10)
