"""Platt scaling: it corrects probabilities to match how often the answer is yes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit.classifiers.reliability import error_if_calibrated, expected_calibration_error
from latentedit.io.files import read_json

CALIBRATION = "calibration.json"
"""The file in a finished run's folder: ``scale`` and ``shift`` of each output, see `fit_platt`."""

CAUTION = 20.0
"""Precision of the prior on scales and shifts. It was chosen once, on held-out faces of CelebA:
1,000 faces are too few to fit the rarest attributes without a prior."""


def fit_platt(
    logits: Tensor, targets: Tensor, *, caution: float = CAUTION
) -> tuple[Tensor, Tensor]:
    """Find the scale and shift of each output that give the least cross-entropy (Platt 1999).

    A normal prior of precision `caution` draws the logarithms of the scales to their own mean, and
    the shifts to zero.

    Args:
        logits: float [N, K] on faces that the network was not trained on.
        targets: [N, K]; 1 yes, 0 no, -1 not known.

    Returns:
        two tensors float64 [K]: scales between 0.1 and 10, and shifts; 1 and 0 where an output has
        no label, or only one answer. The calibrated logits are ``logits * scale + shift``.
    """
    logits, known = logits.double(), targets >= 0
    soft = targets.clamp(min=0).double()
    both = ((soft == 1) & known).any(0) & ((soft == 0) & known).any(0)
    scale, shift = torch.ones_like(both, dtype=torch.float64), torch.zeros(len(both)).double()
    if not both.any():
        return scale, shift
    logits, soft, known = logits[:, both], soft[:, both], known[:, both]
    log_scale = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    move = torch.zeros_like(log_scale, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_scale, move], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        losses = F.binary_cross_entropy_with_logits(
            logits * log_scale.exp() + move, soft, reduction="none"
        )
        prior = (log_scale - log_scale.mean()).square().sum() + move.square().sum()
        value = ((losses * known).sum() + caution / 2 * prior) / len(logits)
        value.backward()
        return value

    optimizer.step(loss)
    scale[both], shift[both] = log_scale.detach().exp().clamp(0.1, 10), move.detach()
    return scale, shift


def cross_fitted(logits: Tensor, targets: Tensor) -> Tensor:
    """Calibrate the even faces by a fit to the odd ones, and the other way round.

    So no figure is measured on the faces that its calibration was fitted to.

    Returns:
        probabilities, float64 [N, K].
    """
    probabilities = torch.empty(logits.shape, dtype=torch.float64)
    for first in (0, 1):
        scale, shift = fit_platt(logits[1 - first :: 2], targets[1 - first :: 2])
        probabilities[first::2] = torch.sigmoid(logits[first::2].double() * scale + shift)
    return probabilities


def calibration(logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """Fit the calibration to all faces, and measure how good it is on faces it was not fitted to.

    Returns:
        ``scale`` and ``shift``, lists of K; ``faces``; and, where there are labels, means over the
        outputs: cross-fitted ``accuracy`` and expected calibration error (``ece``), what this error
        would be if the probabilities were exactly right (``ece_if_calibrated``), and what it is
        without calibration (``ece_before``).
    """
    scale, shift = fit_platt(logits, targets)
    fitted = {"scale": scale.tolist(), "shift": shift.tolist(), "faces": len(logits)}
    if not (targets >= 0).any():
        return fitted
    before = _figures(torch.sigmoid(logits.double()), targets)
    return {
        **fitted,
        **_figures(cross_fitted(logits, targets), targets),
        "ece_before": before["ece"],
    }


def _figures(probabilities: Tensor, targets: Tensor) -> dict[str, float]:
    rows = []
    for p, y in zip(probabilities.T.numpy(), targets.T.numpy(), strict=True):
        p, y = p[y >= 0], y[y >= 0]
        if len(y):
            right = ((p > 0.5) == (y > 0.5)).mean()
            rows.append((right, expected_calibration_error(p, y), error_if_calibrated(p)))
    accuracy, ece, ece_if_calibrated = np.array(rows).mean(0).tolist()
    return {"accuracy": accuracy, "ece": ece, "ece_if_calibrated": ece_if_calibrated}


def read_calibration(run_folder: str | Path) -> dict[str, Any]:
    """Return the calibration of a finished run, or an empty dictionary if there is none."""
    path = Path(run_folder) / CALIBRATION
    return dict(read_json(path)) if path.is_file() else {}
