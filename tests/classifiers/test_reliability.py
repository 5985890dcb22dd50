from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentedit.classifiers.reliability import BINS, error_if_calibrated, expected_calibration_error


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(5, 300))
def test_calibration_error_is_torchmetrics(seed: int, count: int) -> None:
    classification = pytest.importorskip("torchmetrics.functional.classification")
    random = np.random.RandomState(seed)
    p, y = random.uniform(0, 1, count), random.randint(0, 2, count)
    theirs = classification.binary_calibration_error(
        torch.tensor(p), torch.tensor(y), n_bins=BINS, norm="l1"
    )
    assert expected_calibration_error(p, y) == pytest.approx(float(theirs), abs=1e-6)


def test_calibrated_probabilities_have_little_error() -> None:
    random = np.random.RandomState(0)
    p = random.uniform(0, 1, 100_000)
    y = random.uniform(0, 1, len(p)) < p
    assert expected_calibration_error(p, y) < 0.01
    assert expected_calibration_error(np.ones(10), np.zeros(10)) == 1


def test_few_faces_show_an_error_where_there_is_none() -> None:
    random = np.random.RandomState(0)
    errors = {}
    for count in (100, 10_000):
        p = random.uniform(0, 1, count)
        errors[count] = error_if_calibrated(p)
        drawn = [
            expected_calibration_error(p, (random.uniform(size=count) < p).astype(np.int8))
            for _ in range(200)
        ]
        assert errors[count] == pytest.approx(np.mean(drawn), rel=0.1)
    assert errors[100] > 0.05
    assert errors[100] / errors[10_000] == pytest.approx(10, rel=0.2)  # one over the root of n


def test_certain_probabilities_cannot_err_by_chance() -> None:
    assert error_if_calibrated(np.array([0.0, 1.0, 1.0])) == 0
