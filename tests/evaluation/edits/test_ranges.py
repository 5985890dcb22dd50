"""Safe ranges and calibrations, from traces with planted responses."""

from __future__ import annotations

import numpy as np
import pytest
from planted_traces import make_trace

from latentedit.evaluation.edits.curves import curve
from latentedit.evaluation.edits.ranges import (
    MOST_STRANGE,
    allowed_share,
    calibrate,
    safe_range,
    strange_shares,
)
from latentedit.evaluation.edits.strangeness import Places
from latentedit.evaluation.edits.traces import Typical


def make_typical(faces: int = 400) -> Typical:
    """Faces of evenly spread strangeness: every other one has ``a``, the strangest tenth ``b``."""
    strangeness = np.linspace(0, 1, faces).astype(np.float32)
    signs = (np.where(np.arange(faces) % 2, 1, -1), np.where(strangeness > 0.9, 1, -1))
    logits = np.stack(signs, axis=1).astype(np.float32)
    places = Places(np.zeros((1, 1), np.float32), np.ones((1, 1, 1), np.float32))
    nothing = np.zeros(1, np.float32)
    return Typical(nothing, places, strangeness, logits, nothing)


def test_the_safe_range_ends_where_faces_get_strange() -> None:
    typical = make_typical()
    limit = typical.limit
    shares = np.array([0.9, 0.05, 0.05, 0.05, 0.05, 0.25, 0.9])
    ranks = np.linspace(0, 1, 100, endpoint=False)[:, None]
    strange = np.where(ranks < shares, 2 * limit, 0.0)
    trace = make_trace(np.ones(3), faces=100, strangeness=strange)
    np.testing.assert_allclose(strange_shares(trace, typical), shares, atol=1e-6)
    assert safe_range(trace, typical, 0) == (pytest.approx(-2.1), pytest.approx(1.5))
    fine = make_trace(np.ones(3), faces=100)
    assert safe_range(fine, typical, 0) == (-3, 3)
    broken = make_trace(np.ones(3), faces=100, strangeness=np.full((100, 7), 9.0))
    assert safe_range(broken, typical, 0) == (-0.5, 0.5)


def test_an_edit_may_get_to_where_half_of_the_faces_flip() -> None:
    typical = make_typical()
    ranks = np.linspace(0, 1, 100, endpoint=False)[:, None]
    half = curve(slow := make_trace(np.full(3, 0.35), faces=100), 0).magnitude()
    assert half is not None
    for share, end in ((0.25, half), (0.6, 5 / 11)):  # 30 % are strange at 5/11 of the first step
        shares = np.array([share, share, share, 0.05, share, share, share])
        strange = np.where(ranks < shares, 2 * typical.limit, 0.0)
        trace = make_trace(np.full(3, 0.35), faces=100, strangeness=strange)
        low, high = safe_range(trace, typical, 0)
        assert high == -low == max(0.5, np.floor(end * 10) / 10)
    assert safe_range(slow, typical, 0) == (-3, 3)


def test_what_is_strange_by_nature_may_be() -> None:
    typical = make_typical()
    assert allowed_share(typical, 1, 1) == pytest.approx(0.5)
    assert allowed_share(typical, 1, -1) == MOST_STRANGE
    assert allowed_share(make_typical(100), 1, 1) == MOST_STRANGE  # of ten faces nothing is said


def test_the_safe_range_ends_where_the_attribute_comes_back() -> None:
    trace = make_trace(np.array([1.0, 0.0, 0.0]), faces=100)
    trace.logits[:, -1, 0] = trace.logits[:, 4, 0]  # step 3 does what step 1 did
    trace.logits[:, 0, 0] = trace.logits[:, 1, 0] + 0.01  # step -3 hardly more than step -2
    assert safe_range(trace, make_typical(), 0) == (-3, 2)


def test_calibrations_rise() -> None:
    trace = make_trace(np.array([0.7, 0.1, 0.0]))
    found = calibrate(trace, 0)
    means = trace.probabilities[:, :, 0].mean(0)
    np.testing.assert_allclose(found.probabilities, means, atol=1e-4)
    assert found.years is not None
    assert np.interp(2, found.steps, found.years) == pytest.approx(-10)
    falling = calibrate(make_trace(np.array([-0.7, 0.1, 0.0])), 0)
    assert len(set(falling.probabilities)) == 1
    assert calibrate(make_trace(np.ones(3), years=np.full((200, 7), np.nan)), 0).years is None
