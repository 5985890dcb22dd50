"""Choosing what an edit holds, from what edits were measured to do.

The re-scoring matrix without locks says how every boundary's normal moves every logit. A direction
under holds is a mixture of those normals, so its effects can be predicted, and searched, without
rendering anything. What the search finds is then rendered beside simpler locks, and the best of
what was measured is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from latentedit.boundaries import Boundaries
from latentedit.errors import LatentEditError
from latentedit.evaluation.effects import curve, matched_leakage, similar_holds
from latentedit.evaluation.traces import Trace, Traces, sigmoid
from latentedit.projection import MIN_RESIDUAL, discounted_projection

Float64Array = NDArray[np.float64]

DISCOUNTS = (0.5, 0.8, 0.95, 1.0)
"""Discounts that the search tries."""

MIN_GAIN = 0.01
"""A hold is added only if the predicted leakage falls by more than this share."""

_RIDGE = 0.03
"""Ridge, relative to the largest singular value, of the response of logits to latents: keeps
nearly collinear boundaries from amplifying the noise of what was measured."""

_REACH = 6.0
"""Longest step that the search may need: what no measured step can confirm is not proposed."""


@dataclass(frozen=True, eq=False)
class Response:
    """A linear model of what a direction does, from traces of all boundaries without locks.

    Latents are written in an orthonormal basis of the boundaries' span, of dimension R <= A.

    Attributes:
        names: A boundaries.
        normals: float64 [A, R], unit rows.
        slopes: float64 [R, K]: change of each logit per unit of each coordinate.
        spread: float64 [K]: standard deviation over faces of a logit's change per unit of step.
        logits: of unedited faces, float64 [N, K].
        columns: of each boundary's attribute among the logits, [A].
    """

    names: tuple[str, ...]
    normals: Float64Array
    slopes: Float64Array
    spread: Float64Array
    logits: Float64Array
    columns: tuple[int, ...]

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
        moved = (free / length) @ self.slopes  # [K] per unit of step
        column = self.columns[attribute]
        if moved[column] <= 0:
            return np.inf
        step = float(np.median(np.abs(self.logits[:, column]))) / moved[column]
        if step > _REACH:
            return np.inf
        side = np.where(self.logits[:, column] > 0, -1.0, 1.0)[:, None]
        after = self.logits + step * (side * moved + self.spread * _noise(self.logits.shape))
        change = np.abs(sigmoid(after) - sigmoid(self.logits)).mean(0)
        return float(np.delete(change, column).mean())


def response(boundaries: Boundaries, traces: Sequence[Trace], scored: Sequence[str]) -> Response:
    """Fit the linear model.

    Args:
        boundaries: A of them.
        traces: of every boundary, in order, without holds, on the same faces.
        scored: names of the logits.

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
    slopes, spreads = [], []
    for trace in traces:
        near = trace.at((-1.0, 0.0, 1.0)).logits.astype(np.float64)  # [N, 3, K]
        each = (near[:, 2] - near[:, 0]) / 2
        slopes.append(each.mean(0))
        spreads.append(each.var(0))
    axes, sizes, mixed = np.linalg.svd(normals, full_matrices=False)
    inverse = sizes / (np.square(sizes) + (_RIDGE * sizes[0]) ** 2)
    return Response(
        names=boundaries.names,
        normals=normals,
        slopes=(mixed.T * inverse) @ (axes.T @ np.array(slopes)),
        spread=np.sqrt(np.mean(spreads, axis=0)),
        logits=traces[0].logits[:, traces[0].start].astype(np.float64),
        columns=tuple(list(scored).index(name) for name in boundaries.names),
    )


def search_holds(model: Response, attribute: str) -> dict[str, float]:
    """The holds and discounts of least predicted leakage at the step where half the faces flip.

    Greedy: each round adds, changes or drops the one hold that lowers it most.

    Returns:
        {name: discount}; empty where no hold helps.
    """
    own = model.names.index(attribute)
    others = [row for row in range(len(model.names)) if row != own]
    chosen: dict[int, float] = {}
    best = model.leakage(own, chosen)
    while True:
        trials = [{**chosen, row: discount} for row in others for discount in DISCOUNTS]
        trials += [{key: value for key, value in chosen.items() if key != row} for row in chosen]
        trials = [trial for trial in trials if trial != chosen]
        figures = [model.leakage(own, trial) for trial in trials]
        winner = int(np.argmin(figures))
        if not figures[winner] < best * (1 - MIN_GAIN):
            return {model.names[row]: discount for row, discount in sorted(chosen.items())}
        chosen, best = trials[winner], figures[winner]


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


@cache
def _noise(shape: tuple[int, ...]) -> Float64Array:
    """The same normal numbers every time, so predictions differ by the holds alone."""
    return np.random.RandomState(0).standard_normal(shape)
