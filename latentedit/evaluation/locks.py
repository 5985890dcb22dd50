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
from latentedit.evaluation.effects import curve, matched_leakage, mode_holds, similar_holds
from latentedit.evaluation.traces import Trace, Traces, sigmoid

Float64Array = NDArray[np.float64]

RIDGES = (3.0, 1.0, 0.3, 0.1, 0.03)
"""How cautious the search is: a large ridge keeps the step short."""

IDLE = 0.002
"""A hold is dropped if the predicted leakage grows by no more than this share without it."""

_LOG_WEIGHTS = (float(np.log(1e-3)), float(np.log(1e3)))
"""Range of log(g / (1 - g)) in the search."""

_LEAST_DISCOUNT = 0.02

_LEAST_LENGTH = 0.03
"""Shortest |v| that is searched: what the holds leave must be more than noise."""

_NOTHING = 1e6
"""Value of the search's objective where the target does not follow."""

_REACH = 6.0
"""Longest step that the search may need: what no measured step can confirm is not proposed."""


@dataclass(frozen=True, eq=False)
class Response:
    """What a direction does to each face, linearly, from traces of all boundaries without locks.

    A direction under holds is a mixture of normals, v = sum_i c_i n_i, and what it does to a face
    is predicted as the same mixture of what the normals do to it, on the side that it moves to.

    Attributes:
        names: A boundaries.
        cosines: between their normals, float64 [A, A].
        up: change of each logit by one step along each normal, float64 [N, A, K].
        down: the same change over the step before, from -1 to 0.
        logits: of the unedited faces, float64 [N, K].
        columns: of each boundary's attribute among the logits, [A].
    """

    names: tuple[str, ...]
    cosines: Float64Array
    up: Float64Array
    down: Float64Array
    logits: Float64Array
    columns: tuple[int, ...]

    def half(self, which: int) -> Response:
        """The same of every second face, from the first (0) or the second (1) on."""
        faces = slice(which, None, 2)
        return replace(self, up=self.up[faces], down=self.down[faces], logits=self.logits[faces])

    def side(self, own: int) -> Float64Array:
        """Where each face moves, away from its own side of an attribute: 1 or -1, [N]."""
        return np.where(self.logits[:, self.columns[own]] > 0, -1.0, 1.0)

    def slopes(self, own: int) -> Float64Array:
        """Change of logits by each normal on that side, [N, A, K]."""
        return np.where(self.side(own)[:, None, None] > 0, self.up, self.down)

    def mixture(self, own: int, discounts: Mapping[int, float]) -> Float64Array:
        """Coefficients c [A] of the discounted projection, for a direction of unit length.

        Zero where the holds leave nothing.
        """
        rows = sorted(row for row, discount in discounts.items() if discount > 0)
        given = np.array([discounts[row] for row in rows])
        mixed = np.zeros(len(self.names))
        mixed[own] = 1.0
        system = self.cosines[np.ix_(rows, rows)] + np.diag((1 - given) / given)
        mixed[rows] = -np.linalg.lstsq(system, self.cosines[rows, own], rcond=None)[0]
        length = float(np.sqrt(np.maximum(mixed @ self.cosines @ mixed, 0.0)))
        return mixed / length if length >= _LEAST_LENGTH else np.zeros_like(mixed)

    def leakage(self, own: int, discounts: Mapping[int, float]) -> float:
        """Predicted mean absolute change of the other probabilities where half the faces flip.

        Args:
            own: row of what moves.
            discounts: by row of what is held.

        Returns:
            infinity where the holds leave nothing, or too few faces follow.
        """
        moved = np.tensordot(self.slopes(own), self.mixture(own, discounts), (1, 0))  # [N, K]
        column = self.columns[own]
        with np.errstate(divide="ignore"):
            needed = np.abs(self.logits[:, column]) / np.maximum(moved[:, column], 0)
        step = float(np.median(needed))
        if not step <= _REACH:
            return np.inf
        change = sigmoid(self.logits + self.side(own)[:, None] * step * moved) - sigmoid(
            self.logits
        )
        return float(np.delete(np.abs(change).mean(0), column).mean())


def response(boundaries: Boundaries, traces: Sequence[Trace], scored: Sequence[str]) -> Response:
    """Take the linear model from traces.

    Args:
        boundaries: A of them.
        traces: of every boundary, in order, without holds, on the same N faces, with steps -1 to 1.
        scored: names of the K logits.

    Raises:
        LatentEditError: a boundary's attribute is not among the logits.
    """
    for name in boundaries.names:
        if name not in scored:
            raise LatentEditError(f"the classifier does not know {name}: keep its locks instead")
    steps = (-1.0, 0.0, 1.0)
    near: Float64Array = np.stack(
        [trace.at(steps).logits for trace in traces], axis=1, dtype=np.float64
    )  # [N, A, 3, K]
    return Response(
        names=boundaries.names,
        cosines=boundaries.normals @ boundaries.normals.T,
        up=near[:, :, 2] - near[:, :, 1],
        down=near[:, :, 1] - near[:, :, 0],
        logits=near[:, 0, 1],
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

    Minimises (c^T G c + ridge |v|^2) / (s . c)^2 over all discounts at once, where c mixes the
    normals as the discounted projection does, s is the mean change of the target's logit by each
    normal, and c^T G c the mean square of what a unit step does to the other probabilities: the
    smooth neighbour of `Response.leakage`.

    Args:
        model: responses of N faces.
        own: row of what moves.
        ridge: relative to the mean diagonal of G.

    Returns:
        Discounts by row; those below 0.02 are left out.
    """
    column, slopes = model.columns[own], model.slopes(own)
    probabilities = sigmoid(model.logits)
    follows = probabilities * (1 - probabilities)  # of a probability on its logit, [N, K]
    others = np.delete(slopes * follows[:, None], column, axis=2)  # [N, A, K - 1]
    flat = others.transpose(1, 0, 2).reshape(others.shape[1], -1)
    spill = flat @ flat.T / len(others)  # G, [A, A]
    spill += ridge * np.trace(spill) / len(spill) * model.cosines
    slope = slopes[:, :, column].mean(0)
    held = [row for row in range(len(model.names)) if row != own]
    between, toward = model.cosines[np.ix_(held, held)], model.cosines[held, own]

    def objective(logs: Float64Array) -> tuple[float, Float64Array]:
        softness = np.exp(-logs)  # (1 - g) / g
        inverse = np.linalg.inv(between + np.diag(softness))
        taken = inverse @ toward
        mixed = np.zeros(len(model.names))
        mixed[own], mixed[held] = 1.0, -taken
        effect, leaked = slope @ mixed, mixed @ spill @ mixed
        if effect <= 0:
            return _NOTHING, np.zeros_like(logs)
        pull = 2 * (spill @ mixed / leaked - slope / effect)
        return float(np.log(leaked / effect**2)), -(inverse @ pull[held]) * taken * softness

    start = np.full(len(held), np.log(0.05))
    if objective(start)[0] == _NOTHING:
        return {}
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[_LOG_WEIGHTS] * len(held)
    )
    discounts = np.round(1 / (1 + np.exp(-found.x)), 3)
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
        source: ``search``, ``stored`` (what auto was before), ``all``, ``two`` or ``none``.
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
    candidates: dict[str, dict[str, float]] = {
        "none": {},
        "two": similar_holds(traces.boundaries, attribute, 2),
        "all": mode_holds(traces.boundaries, attribute, "all"),
        "stored": dict(traces.boundaries.auto.get(attribute, {})),
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
