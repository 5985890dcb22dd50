"""Figures from the slides that this project began with, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries


def _by_attribute(figures: str) -> dict[str, float]:
    """Figures in CelebA's order, by name."""
    return dict(zip(ATTRIBUTES, map(float, figures.split()), strict=True))


SVM_ACCURACY: Mapping[str, float] = _by_attribute(
    "0.816 0.826 0.814 0.813 0.884 0.866 0.832 0.811 0.843 0.824 "
    "0.808 0.830 0.834 0.843 0.817 0.817 0.824 0.817 0.765 0.794 "
    "0.597 0.595 0.757 0.809 0.587 0.844 0.663 0.806 0.827 0.800 "
    "0.846 0.751 0.818 0.813 0.773 0.840 0.843 0.730 0.839 0.633"
)
"""Test accuracy of the slides' boundaries, on samples that they do not describe further."""

SVM_F1: Mapping[str, float] = _by_attribute(
    "0.292 0.247 0.275 0.230 0.534 0.449 0.169 0.194 0.397 0.324 "
    "0.334 0.381 0.343 0.355 0.311 0.352 0.198 0.323 0.168 0.445 "
    "0.668 0.495 0.299 0.291 0.611 0.419 0.114 0.228 0.347 0.379 "
    "0.322 0.491 0.246 0.221 0.215 0.270 0.208 0.233 0.372 0.684"
)
"""F1 of the slides' boundaries."""

AGE_CHANGE, AGE_FACES = 19.2, 10_000
"""Mean absolute difference in years between faces moved to young and to old; number of faces."""


def boundary_rows(boundaries: Boundaries) -> dict[str, dict[str, Any]]:
    """Return what `fit_boundaries` measured, by attribute, with the slides' figures beside it.

    Returns:
        By attribute the figures, ``slides_accuracy`` and ``slides_f1`` (None for other attributes
        than CelebA's) and ``rare``.
    """
    return {
        name: {
            **boundaries.figures.get(name, {}),
            "slides_accuracy": SVM_ACCURACY.get(name),
            "slides_f1": SVM_F1.get(name),
            "rare": name in boundaries.rare,
        }
        for name in boundaries.names
    }
