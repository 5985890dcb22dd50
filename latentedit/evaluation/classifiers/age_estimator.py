"""How good an age estimator is, over all ages and by decade."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError


def evaluate_age_estimator(
    estimates: NDArray[np.float32], ages: NDArray[np.int8]
) -> dict[str, Any]:
    """Compare estimated with true ages.

    Args:
        estimates: years [N].
        ages: true years, int8 [N]; -1 not known.

    Returns:
        ``mae`` (mean absolute error in years), ``cs5`` (share of errors of at most 5 years, the
        field's cumulative score), ``bias`` (mean error), ``n`` and, by decade, ``mae``, ``bias``
        and ``n``.

    Raises:
        LatentEditError: no age is known.
    """
    known = ages >= 0
    if not known.any():
        raise LatentEditError("these faces have no ages: nothing to compare with")
    years = ages[known].astype(np.float64)
    errors = estimates[known].astype(np.float64) - years
    decades = (years // 10).astype(int)
    return {
        **_figures(errors),
        "by_decade": {
            f"{10 * decade}-{10 * decade + 9}": _figures(errors[decades == decade])
            for decade in np.unique(decades)
        },
    }


def _figures(errors: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "mae": float(np.abs(errors).mean()),
        "cs5": float((np.abs(errors) <= 5).mean()),
        "bias": float(errors.mean()),
        "n": len(errors),
    }


def separation(estimates: NDArray[np.float32], young: NDArray[np.int8]) -> float:
    """Return the ROC AUC with which estimated ages tell CelebA's Young faces from the others.

    The lower the age, the more likely the face is Young.

    Args:
        estimates: years [N].
        young: 1 yes, 0 no, -1 not known [N].

    Raises:
        LatentEditError: the labels do not hold both answers.
    """
    from sklearn.metrics import roc_auc_score

    known = young >= 0
    if len(np.unique(young[known])) < 2:
        raise LatentEditError("the faces are all Young, or all not: nothing to tell apart")
    return float(roc_auc_score(young[known], -estimates[known]))


def agreement(ours: NDArray[np.float32], others: NDArray[np.float32]) -> dict[str, Any]:
    """Measure how far two estimators agree on the same faces.

    Args:
        ours: years [N].
        others: years [N].

    Returns:
        ``n`` and ``pearson_r``, which is None if one estimator gives all faces the same age.
    """
    varied = ours.std() > 0 and others.std() > 0
    r = float(np.corrcoef(ours, others)[0, 1]) if varied else None
    return {"n": len(ours), "pearson_r": r}
