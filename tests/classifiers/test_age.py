from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentedit.classifiers.age import (
    EYES_IN_CHIP,
    AgeConfig,
    AgeEstimator,
    expected_age,
    tight_view,
)

TINY = AgeConfig(resolution=16, stem=4, widths=(8, 8), blocks=(1, 1))


@given(st.integers(0, 116))
def test_a_sure_distribution_gives_its_year(year: int) -> None:
    logits = torch.full((1, 117), -50.0)
    logits[0, year] = 50
    assert expected_age(logits).item() == pytest.approx(year, abs=1e-4)


def test_an_even_distribution_gives_the_middle() -> None:
    assert expected_age(torch.zeros(2, 117)).tolist() == pytest.approx([58, 58])
    halves = torch.full((1, 117), -99.0)
    halves[0, [20, 40]] = 0
    assert expected_age(halves).item() == pytest.approx(30)


def test_years_of_faces_of_any_size() -> None:
    torch.manual_seed(0)
    network = AgeEstimator(TINY).eval()
    for edge in (16, 40):
        years = network(torch.rand(3, 3, edge, edge) * 2 - 1)
        assert years.shape == (3,)
        assert ((years >= 0) & (years <= 116)).all()
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(network(images), expected_age(network.logits(images)))


def test_a_shorter_life() -> None:
    network = AgeEstimator(AgeConfig(16, 4, (8,), (1,), oldest=9))
    assert network.logits(torch.zeros(1, 3, 16, 16)).shape == (1, 10)


def test_the_tight_view_has_the_eyes_where_a_chip_has_them() -> None:
    frame = torch.zeros(1, 3, 100, 100)
    frame[..., 51:53, 49:51] = 1
    view = tight_view(frame)
    assert view.shape == frame.shape
    row, column = divmod(int(view[0, 0].argmax()), 100)
    assert row / 100 == pytest.approx(EYES_IN_CHIP, abs=0.04)
    assert column / 100 == pytest.approx(0.5, abs=0.03)
