"""Choosing what an edit holds, from what edits were measured to do.

The re-scoring matrix without locks says how every boundary's normal moves every logit. A direction
under holds is a mixture of those normals, so its effects can be predicted, and searched, without
rendering anything. What the search finds is then rendered beside simpler locks, and the best of
what was measured is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from latentedit.boundaries import Boundaries
from latentedit.errors import LatentEditError
from latentedit.evaluation.effects import curve, matched_leakage, similar_holds
from latentedit.evaluation.traces import Trace, Traces, sigmoid
from latentedit.projection import MIN_RESIDUAL, discounted_projection

Float64Array = NDArray[np.float64]

RIDGES = (3.0, 1.0, 0.3, 0.1, 0.03)
"""How cautious the search is: a large ridge keeps the step short."""

IDLE = 0.002
"""A hold is dropped if the predicted leakage grows by no more than this share without it."""

_LOG_WEIGHTS = (float(np.log(1e-3)), float(np.log(1e3)))
"""Range of log(g / (1 - g)) in the search."""

_LEAST_DISCOUNT = 0.02

_RIDGE = 0.03
"""Ridge, relative to the largest singular value, of the response of logits to latents: keeps
nearly collinear boundaries from amplifying the noise of what was measured."""

_REACH = 6.0
"""Longest step that the search may need: what no measured step can confirm is not proposed."""


@dataclass(frozen=True, eq=False)
class Response:
    """What a direction does to each face, linearly, from traces of all boundaries without locks.

    Latents are written in an orthonormal basis of the boundaries' span, of dimension R <= A.

    Attributes:
        names: A boundaries.
        normals: float64 [A, R], unit rows.
        slopes: float64 [N, R, K]: change of each face's logits per unit of each coordinate.
        logits: of the unedited faces, float64 [N, K].
        columns: of each boundary's attribute among the logits, [A].
    """

    names: tuple[str, ...]
    normals: Float64Array
    slopes: Float64Array
    logits: Float64Array
    columns: tuple[int, ...]

    def half(self, which: int) -> Response:
        """The same of every second face, from the first (0) or the second (1) on."""
        return replace(self, slopes=self.slopes[which::2], logits=self.logits[which::2])

    def leakage(self, attribute: int, discounts: Mapping[int, float]) -> float:
        """Predicted mean absolute change of the other probabilities where half the faces flip.

        Args:
            attribute: row of what moves.
            discounts: by row of what is held.

        Returns:
            infinity where the holds leave nothing, or the target does not follow.
        """
        rows = sorted(discounts)
        free = discounted_projection(
            self.normals[attribute], self.normals[rows], np.array([discounts[row] for row in rows])
        )
        length = float(np.linalg.norm(free))
        if length < 30 * MIN_RESIDUAL:
            return np.inf
        moved = np.tensordot(self.slopes, free / length, (1, 0))  # [N, K] per unit of step
        own = self.columns[attribute]
        with np.errstate(divide="ignore"):
            needed = np.abs(self.logits[:, own]) / np.maximum(moved[:, own], 0)
        step = float(np.median(needed))
        if step > _REACH:
            return np.inf
        side = np.where(self.logits[:, own] > 0, -1.0, 1.0)[:, None]
        change = sigmoid(self.logits + side * step * moved) - sigmoid(self.logits)
        return float(np.delete(np.abs(change).mean(0), own).mean())


def response(boundaries: Boundaries, traces: Sequence[Trace], scored: Sequence[str]) -> Response:
    """Fit the linear model.

    Args:
        boundaries: A of them.
        traces: of every boundary, in order, without holds, on the same N faces.
        scored: names of the K logits.

    Raises:
        LatentEditError: a boundary's attribute is not among the logits.
    """
    names = [name for name in boundaries.names if name not in scored]
    if names:
        raise LatentEditError(
            f"the classifier does not know {names[0]}: its locks stay as they are"
        )
    _, sizes, basis = np.linalg.svd(boundaries.normals, full_matrices=False)
    basis = basis[sizes > 1e-9 * sizes[0]]
    normals = boundaries.normals @ basis.T  # [A, R]
    near = np.stack([trace.at((-1.0, 0.0, 1.0)).logits for trace in traces]).astype(np.float64)
    along = (near[:, :, 2] - near[:, :, 0]) / 2  # [A, N, K]: response to each normal
    axes, sizes, mixed = np.linalg.svd(normals, full_matrices=False)
    inverse = sizes / (np.square(sizes) + (_RIDGE * sizes[0]) ** 2)
    solve = (mixed.T * inverse) @ axes.T  # [R, A]
    return Response(
        names=boundaries.names,
        normals=normals,
        slopes=np.tensordot(along, solve, (0, 1)).transpose(0, 2, 1).copy(),
        logits=near[0, :, 1],
        columns=tuple(list(scored).index(name) for name in boundaries.names),
    )


def search_holds(model: Response, attribute: str) -> dict[str, float]:
    """The holds and discounts of least predicted leakage at the step where half the faces flip.

    `smooth_holds` for several ridges; the ridge whose holds, found on one half of the faces, leak
    least on the other, is used with all faces. Holds that make no difference are dropped.

    Returns:
        {name: discount}; empty where no hold helps.
    """
    own = model.names.index(attribute)
    halves = model.half(0), model.half(1)

    def unseen(ridge: float) -> float:
        found = [smooth_holds(half, own, ridge) for half in halves]
        return sum(
            other.leakage(own, holds) for other, holds in zip(halves[::-1], found, strict=True)
        )

    holds = smooth_holds(model, own, min(RIDGES, key=unseen))
    best = model.leakage(own, holds)
    for row in sorted(holds, key=lambda row: holds[row]):
        fewer = {key: value for key, value in holds.items() if key != row}
        if model.leakage(own, fewer) <= best * (1 + IDLE):
            holds = fewer
    return {model.names[row]: discount for row, discount in sorted(holds.items())}


def smooth_holds(model: Response, own: int, ridge: float) -> dict[int, float]:
    """Discounts of least squared leakage per squared effect.

    Minimises v^T (G + ridge I) v / (s . v)^2 over all discounts at once, where v is the discounted
    projection, s the mean slope of the target's logit, and v^T G v the mean square of what a unit
    step does to the other probabilities: the smooth neighbour of `Response.leakage`.

    Args:
        model: responses of N faces.
        own: row of what moves.
        ridge: relative to the mean diagonal of G.

    Returns:
        Discounts by row; those below 0.02 are left out.
    """
    column = model.columns[own]
    probabilities = sigmoid(model.logits)
    follows = probabilities * (1 - probabilities)  # of a probability on its logit, [N, K]
    others = np.delete(model.slopes * follows[:, None], column, axis=2)  # [N, R, K - 1]
    flat = others.transpose(1, 0, 2).reshape(others.shape[1], -1)
    spill = flat @ flat.T / len(others)  # G, [R, R]
    spill += ridge * np.trace(spill) / len(spill) * np.eye(len(spill))
    slope = model.slopes[:, :, column].mean(0)
    held = [row for row in range(len(model.names)) if row != own]
    normals, target = model.normals[held], model.normals[own]

    def objective(logs: Float64Array) -> tuple[float, Float64Array]:
        weights = np.exp(logs)
        inverse = np.linalg.inv(np.eye(len(spill)) + normals.T @ (weights[:, None] * normals))
        v = inverse @ target
        effect, leaked = slope @ v, v @ spill @ v
        if effect <= 0:
            return np.inf, np.zeros_like(logs)
        pull = inverse @ (2 * spill @ v / leaked - 2 * slope / effect)
        return float(np.log(leaked / effect**2)), -(normals @ pull) * (normals @ v) * weights

    start = np.full(len(held), np.log(0.05))
    if not np.isfinite(objective(start)[0]):
        return {}
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[_LOG_WEIGHTS] * len(held)
    )
    weights = np.exp(found.x)
    discounts = np.round(weights / (1 + weights), 3)
    return {
        row: float(discount)
        for row, discount in zip(held, discounts, strict=True)
        if discount >= _LEAST_DISCOUNT
    }


@dataclass(frozen=True)
class Choice:
    """What was found for one attribute.

    Attributes:
        holds: {name: discount} of least measured leakage.
        source: ``search``, ``cosines`` (what was stored before), ``two`` or ``none``.
        share: of flipped faces at which leakages were compared.
        leakages: measured, by source; None where the share was not reached.
    """

    holds: dict[str, float]
    source: str
    share: float
    leakages: dict[str, float | None]


def choose_holds(
    traces: Traces,
    model: Response,
    attribute: str,
    steps: Sequence[float],
    seeds: Sequence[int],
) -> Choice:
    """Render the candidates for an attribute's locks and keep the one that leaks least.

    Args:
        traces: follows faces.
        model: from `response`.
        attribute: what moves.
        steps: on both sides of 0.
        seeds: faces to choose on; report on others.
    """
    candidates = {
        "none": {},
        "two": similar_holds(traces.boundaries, attribute, 2),
        "cosines": dict(traces.boundaries.auto.get(attribute, {})),
        "search": search_holds(model, attribute),
    }
    column = model.columns[model.names.index(attribute)]
    curves = {}
    for name, holds in candidates.items():
        try:
            curves[name] = curve(traces.trace(attribute, holds, steps, seeds), column)
        except LatentEditError:  # the holds leave nothing of the direction
            continue
    share, leakages = matched_leakage(curves)
    known = {name: value for name, value in leakages.items() if value is not None}
    source = min(known, key=lambda name: known[name]) if known else "none"
    return Choice(candidates[source], source, share, leakages)
