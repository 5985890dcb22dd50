from __future__ import annotations

import numpy as np
import pytest
import torch

from latentedit.classifiers.reliability import expected_calibration_error
from latentedit.training.supervised.calibration import calibration, cross_fitted, fit_platt


def drawn(
    scale: float, shift: float = 0.0, count: int = 20000, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers drawn from logits, and logits that `scale` and `shift` would put right."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, 1, generator=generator)
    answers = torch.rand(count, 1, generator=generator) < torch.sigmoid(logits)
    return (logits - shift) / scale, answers.to(torch.int8)


def columns(*parts: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    logits, targets = zip(*parts, strict=True)
    return torch.cat(logits, 1), torch.cat(targets, 1)


@pytest.mark.parametrize(("scale", "shift"), [(0.5, 0.0), (1.0, 0.7), (3.0, -1.0)])
def test_a_scale_and_a_shift_are_undone(scale: float, shift: float) -> None:
    fitted = fit_platt(*drawn(scale, shift))
    assert fitted[0].item() == pytest.approx(scale, rel=0.05)
    assert fitted[1].item() == pytest.approx(shift, abs=0.05)


def test_each_output_has_its_own_and_unknown_labels_do_not_count() -> None:
    logits, targets = columns(drawn(2.0, 0.5), drawn(0.5, seed=1))
    both = fit_platt(logits, targets)
    assert both[0].tolist() == pytest.approx([2.0, 0.5], rel=0.05)
    assert both[1].tolist() == pytest.approx([0.5, 0.0], abs=0.05)
    wrong = torch.cat((logits, -logits)), torch.cat((targets, torch.full_like(targets, -1)))
    for fitted, expected in zip(fit_platt(*wrong), both, strict=True):
        torch.testing.assert_close(fitted, expected, rtol=1e-3, atol=1e-3)


def test_few_faces_move_an_output_less_than_many() -> None:
    logits, targets = columns(drawn(1.0, count=2000), drawn(1.0, 1.0, count=2000, seed=1))
    many = fit_platt(logits, targets)[1][1]
    targets[20:, 1] = -1
    few, bold = (fit_platt(logits, targets, caution=caution)[1][1] for caution in (20, 1e-6))
    assert abs(few) < 0.5 < many
    assert abs(few) < abs(bold)


def test_an_output_without_both_answers_is_left_alone() -> None:
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.ones(50, 3, dtype=torch.int8)
    targets[:, 1] = -1
    targets[:30, 2] = 0
    scale, shift = fit_platt(logits, targets)
    assert scale[:2].tolist() == [1, 1]
    assert shift[:2].tolist() == [0, 0]
    assert shift[2] != 0
    assert fit_platt(logits, torch.ones(50, 3))[0].tolist() == [1, 1, 1]


def test_logits_that_separate_perfectly_stay_within_bounds() -> None:
    logits = torch.linspace(-1, 1, 40)[:, None]
    for targets, bound in (((logits > 0).to(torch.int8), 10), ((logits < 0).to(torch.int8), 0.1)):
        scale, shift = fit_platt(logits, targets)
        assert scale.item() == pytest.approx(bound)
        assert abs(shift.item()) < 1


def test_no_face_is_calibrated_by_its_own_answer() -> None:
    logits, targets = drawn(2.0, 0.5, count=200)
    before = cross_fitted(logits, targets)
    changed = targets.clone()
    changed[::2] = 1 - changed[::2]
    after = cross_fitted(logits, changed)
    assert torch.equal(before[::2], after[::2])
    assert not torch.equal(before[1::2], after[1::2])


def test_what_calibration_is_worth_is_measured_on_other_faces() -> None:
    logits, targets = columns(drawn(2.0, 0.5, count=2000), drawn(0.5, count=2000, seed=1))
    found = calibration(logits, targets)
    scale, shift = fit_platt(logits, targets)
    assert found["scale"] == scale.tolist()
    assert found["shift"] == shift.tolist()
    assert found["faces"] == 2000
    p, y = cross_fitted(logits, targets).numpy(), targets.numpy()
    errors = [expected_calibration_error(p[:, column], y[:, column]) for column in (0, 1)]
    assert found["ece"] == pytest.approx(np.mean(errors))
    assert found["ece_before"] > 3 * found["ece"]
    assert found["ece_if_calibrated"] == pytest.approx(found["ece"], abs=0.01)
    assert found["accuracy"] == pytest.approx(((p > 0.5) == (y > 0.5)).mean())


def test_without_any_label_there_is_nothing_to_measure() -> None:
    found = calibration(torch.zeros(10, 2), torch.full((10, 2), -1))
    assert found == {"scale": [1, 1], "shift": [0, 0], "faces": 10}
