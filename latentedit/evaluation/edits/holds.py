"""Choosing what an edit holds, by measuring what edits do.

Discounts are searched by gradient in a surrogate of generator and classifier (`surrogate`). The
search looks for the direction that changes the other probabilities least where as many faces flip
as without holds. Then faces are rendered with the holds that were found, and without holds. The
holds that leak least in these faces are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentedit.boundaries.model import Boundaries
from latentedit.editing.projection import discounted_direction
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.curves import (
    HALF,
    LEAST_SHARE,
    Curve,
    compared_share,
    curve,
    matched_leakage,
)
from latentedit.evaluation.edits.ranges import STRANGE_AT_FLIP, strange_shares
from latentedit.evaluation.edits.surrogate import Surrogate
from latentedit.evaluation.edits.traces import Trace, Traces, crossing
from latentedit.io.folders import ResumableFolder

FloatArray = NDArray[np.float32]

REACHES = {"near": (1.5, 0.4), "far": (2.0, 0.8)}
"""Longest step of a search, as (multiple, part): this multiple of the step without holds, but at
most this part of the way from that step to `FARTHEST`. The more of a direction the holds take away,
the less it leaks, and the longer the step must be."""

_KINDS = ("none", *REACHES)

WEIGHTS = {"Male": 3.0, "Eyeglasses": 3.0}
"""Weights of attributes when holds are chosen; all others weigh 1. A change of these looks like
another person. Reported leakages weigh all attributes equally."""

MOST_HOLDS = 8
"""Most holds that are kept: the largest parts of the direction. More holds gained nothing."""

FARTHEST = 6.0
"""Longest step that is searched or rendered."""

JUDGED = (0.7, 1.0, 1.4)
"""Multiples of the predicted step at which candidates are rendered."""

LEAST_PART = 0.02
"""A hold whose normal is a smaller part of the direction is left out: it makes no difference."""

_ALL_STEPS, _FEW_STEPS = 70, 35
"""Optimiser steps of the search over all discounts, and over those that are kept."""

_BATCH = 192
_RATE = 0.3
_SOFTNESS = 0.4
"""Softness of a flip, in logits: a hard flip has no gradient."""

_MARGIN, _RARE_MARGIN = 1.03, 1.2
"""The search asks for this many times the share of flips without holds, because rendered faces
follow less than predicted. The second factor is for attributes where not even half of the faces
flip without holds."""

_START, _MOST = -2.0, 7.0
"""Log odds, log(g / (1 - g)), of the discounts g: where the search starts, and how far it goes."""

_GRID = np.linspace(0, FARTHEST, 17)
_GRID_FACES = 500
_LEAST_SLOPE = 0.03


class HoldSearch:
    """Searches holds with predicted edits of latents.

    The surrogate predicts how an edit changes the logits. The classifier's logits are the start.

    Args:
        surrogate: of the model.
        boundaries: A boundaries.
        columns: the place of each boundary's attribute among the K logits; None if not scored.
        weights: the weight of each attribute's probability in the leakage, [K].
        latents: float32 [N, D]; the surrogate was not fitted to them.
        logits: the classifier's, float32 [N, K].
        name: the surrogate's; files of found holds are named by it.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        boundaries: Boundaries,
        columns: Sequence[int | None],
        weights: FloatArray,
        latents: FloatArray,
        logits: FloatArray,
        name: str = "surrogate",
    ) -> None:
        self.name = name
        self.surrogate, self.boundaries, self.columns = surrogate, boundaries, tuple(columns)
        self._weights = torch.from_numpy(weights)
        self._logits = torch.from_numpy(logits)
        self._first = surrogate.first(torch.from_numpy(latents))
        self._missed = self._logits - surrogate.rest(self._first)
        normals = boundaries.normals
        self._cosines = torch.from_numpy(normals @ normals.T)
        self._covariances = self._cosines
        if boundaries.whitening is not None:
            self._covariances = torch.from_numpy(
                normals @ boundaries.whitening.covariance @ normals.T
            )
        self._along = torch.from_numpy(
            normals @ surrogate.first.weight.double().numpy().T
        )  # of each normal, [A, width + K]

    def holds(self, attribute: str, reach: tuple[float, float]) -> dict[str, float]:
        """Return the holds with the least predicted leakage.

        The first search is over all discounts at once. The second is over the discounts of the
        `MOST_HOLDS` holds that matter most.

        Args:
            attribute: what moves; the classifier scores it.
            reach: how long the step may be, see `REACHES`.

        Returns:
            {name: discount}; empty where too few faces flip without holds.
        """
        own = self.boundaries.index(attribute)
        share, free = self.flip(attribute, {})
        if share < LEAST_SHARE:
            return {}
        share = self._soft_share(own, free) * (_MARGIN if share == HALF else _RARE_MARGIN)
        others = [row for row in range(len(self.columns)) if row != own]
        multiple, part = reach
        longest = min(free * multiple, free + part * (FARTHEST - free))
        odds = torch.full((len(others),), _START, dtype=torch.float64)
        odds = self._descend(own, others, odds, share, longest, _ALL_STEPS)
        rows, odds = self._largest(own, others, odds)
        odds = self._descend(own, rows, odds, share, longest, _FEW_STEPS)
        rows, odds = self._largest(own, rows, odds)
        discounts = torch.sigmoid(odds).numpy().round(3)
        return {
            self.boundaries.names[row]: float(discount)
            for row, discount in sorted(zip(rows, discounts, strict=True))
        }

    def flip(
        self, attribute: str, holds: Mapping[str, float], share: float | None = None
    ) -> tuple[float, float]:
        """Predict the step at which a share of the faces flip.

        Args:
            attribute: what moves.
            holds: {name: discount}.
            share: by default `curves.compared_share` of the largest share that flips.

        Returns:
            The share, or the largest one if it is not reached; and the step there.
        """
        column = self._column(attribute)
        vector = discounted_direction(self.boundaries, attribute, holds).vector
        along = self.surrogate.first.weight @ torch.from_numpy(vector).float()
        rows = slice(0, _GRID_FACES)
        side = _sides(self._logits[rows, column])
        flipped = np.array(
            [
                float((side * self._after(rows, along, side * step)[:, column] > 0).float().mean())
                for step in _GRID
            ]
        )
        flipped[0] = 0.0
        if share is None:
            share = compared_share(float(flipped.max()))
        step = crossing(_GRID, flipped, share)
        if step is not None:
            return share, step
        place = int(np.flatnonzero(flipped >= flipped.max() - 0.01)[0])
        return float(flipped[place]), float(_GRID[place])

    def _soft_share(self, own: int, step: float) -> float:
        """Return the soft share of flipped faces after a step without holds."""
        column = self._column(self.boundaries.names[own])
        rows = slice(0, _GRID_FACES)
        side = _sides(self._logits[rows, column])
        alone = torch.zeros(len(self._along), dtype=torch.float64)
        alone[own] = 1.0
        after = self._after(rows, self._step(alone), side * step)[:, column]
        return float(torch.sigmoid(side * after / _SOFTNESS).mean())

    def _descend(
        self, own: int, rows: Sequence[int], odds: Tensor, share: float, longest: float, steps: int
    ) -> Tensor:
        """Minimise leakage over the log odds [R] of held rows, with Adam.

        The step changes too, so that the same share of faces flips. Let F(odds, s) be the soft
        share of flipped faces and L(odds, s) the leakage. The step s(odds) is where F is `share`,
        so dL/dodds = L_odds - (L_s / F_s) F_odds. At the longest step, a multiplier that grows
        while too few faces flip takes the place of L_s / F_s.
        """
        column = self._column(self.boundaries.names[own])
        weights = self._weights.clone()
        weights[column] = 0
        weights /= weights.sum()
        if not rows:
            return odds
        odds = odds.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([odds], _RATE, betas=(0.8, 0.95))
        random = torch.Generator().manual_seed(0)
        step, multiplier = 0.7 * longest, 0.0
        for number in range(steps):
            faces = torch.randint(len(self._logits), (_BATCH,), generator=random)
            before = self._logits[faces]
            side = _sides(before[:, column])
            at = torch.tensor(step, requires_grad=True)
            along = self._step(self._mixture(own, rows, odds))
            after = self._after(faces, along, side * at)
            change = torch.sigmoid(after) - torch.sigmoid(before)
            leaked = (change.abs().mean(0) * weights).sum()
            flipped = torch.sigmoid(side * after[:, column] / _SOFTNESS).mean()
            flipped_odds, slope = torch.autograd.grad(flipped, (odds, at), retain_graph=True)
            leaked_odds, leaked_step = torch.autograd.grad(leaked, (odds, at))
            missing, per_step = share - float(flipped.detach()), max(float(slope), _LEAST_SLOPE)
            price = float(leaked_step) / per_step
            if step >= longest:
                multiplier = max(price, multiplier + 0.3 * missing)
            else:
                multiplier *= 0.9
            odds.grad = (leaked_odds - max(price, multiplier) * flipped_odds) / leaked.detach()
            optimizer.param_groups[0]["lr"] = _RATE * min(1.0, 0.05 + 1.9 * (1 - number / steps))
            optimizer.step()
            with torch.no_grad():
                odds.clamp_(-_MOST, _MOST)
            step += float(np.clip(0.4 * missing / per_step, -0.3, 0.3))
            step = float(np.clip(step, 0.2, longest))
        return odds.detach()

    def _largest(self, own: int, rows: Sequence[int], odds: Tensor) -> tuple[list[int], Tensor]:
        """Return the held rows with the largest parts of the direction, and their odds."""
        parts = self._mixture(own, rows, odds)[rows].abs()
        order = parts.argsort(descending=True, stable=True)[:MOST_HOLDS]
        kept = order[parts[order] >= LEAST_PART]
        return [rows[int(place)] for place in kept], odds[kept]

    def _mixture(self, own: int, rows: Sequence[int], odds: Tensor) -> Tensor:
        """Return coefficients [A] of the normals in the discounted projection, at unit length.

        It is the formula of `projection.discounted_projection`, solved directly. No discount is 1
        here, so the system is well conditioned. With torch, the gradient is known.
        """
        between = self._cosines[rows][:, rows] + torch.diag(torch.exp(-odds))
        taken = torch.linalg.solve(between, self._cosines[rows, own])
        mixed = torch.zeros(len(self._cosines), dtype=torch.float64)
        mixed[own] = 1.0
        mixed = mixed.index_put((torch.tensor(rows, dtype=torch.int64),), -taken)
        return mixed / torch.sqrt(mixed @ self._cosines @ mixed)

    def _step(self, mixture: Tensor) -> Tensor:
        """Return what one step along a mixture of normals [A] of unit length adds, [width + K].

        A step is one standard deviation of latents, as in `projection.discounted_direction`.
        """
        spread = torch.sqrt(mixture @ self._covariances @ mixture)
        return (mixture @ self._along * spread).float()

    def _after(self, faces: Tensor | slice, along: Tensor, steps: Tensor) -> Tensor:
        """Return logits [n, K] of some latents, each after its own step along a direction."""
        moved = self._first[faces] + steps[:, None] * along
        return self.surrogate.rest(moved) + self._missed[faces]

    def _column(self, attribute: str) -> int:
        column = self.columns[self.boundaries.index(attribute)]
        if column is None:
            raise LatentEditError(f"the classifier does not score {attribute}: leave it out")
        return column


def leak_weights(scored: Sequence[str]) -> FloatArray:
    """Return the `WEIGHTS` of the classifier's outputs, [K]; 1 where there is none."""
    return np.array([WEIGHTS.get(name, 1.0) for name in scored], np.float32)


def _sides(logits: Tensor) -> Tensor:
    """Return the sign of a step away from each face's side: -1 if it has the attribute, else 1."""
    return torch.where(logits > 0, -1.0, 1.0)


@dataclass(frozen=True)
class Choice:
    """What was found for one attribute.

    Attributes:
        holds: {name: discount} of least measured leakage.
        source: ``none``, or the key of `REACHES`.
        share: of flipped faces at which leakages were compared.
        leakages: measured, weighted, by source; None where the share was not reached.
    """

    holds: dict[str, float]
    source: str
    share: float
    leakages: dict[str, float | None]


def choose_holds(
    traces: Traces, candidates: Mapping[str, Candidate], attribute: str, seeds: Sequence[int]
) -> Choice:
    """Render the candidates for an attribute's holds and keep the one that leaks least.

    A candidate is left out if it makes more faces strange than `STRANGE_AT_FLIP` and more than no
    holds do.

    Args:
        traces: follows faces.
        candidates: by name; ``none`` is among them.
        attribute: what moves.
        seeds: faces to choose on; effects are reported on other faces.
    """
    column = traces.editor.attributes.index(attribute)
    followed: dict[str, Trace] = {}
    for name, candidate in candidates.items():
        magnitudes = sorted({0.0, *(round(min(FARTHEST, candidate.step * m), 3) for m in JUDGED)})
        followed[name] = traces.away(attribute, candidate.holds, magnitudes, seeds)
    weights = leak_weights(traces.editor.attributes)
    curves = {name: curve(trace, column, weights) for name, trace in followed.items()}
    share, leakages = matched_leakage(curves)
    strange = {
        name: _strange_where_flipped(traces, followed[name], found, share)
        for name, found in curves.items()
    }
    allowed = max(STRANGE_AT_FLIP, strange["none"])
    known = {
        name: value
        for name, value in leakages.items()
        if value is not None and strange[name] <= allowed
    }
    source = min(known, key=lambda name: known[name]) if known else "none"
    return Choice(dict(candidates[source].holds), source, share, leakages)


@dataclass(frozen=True)
class Candidate:
    """Holds, and the step at which half the faces are predicted to flip under them."""

    holds: Mapping[str, float]
    step: float


def find_candidates(search: HoldSearch, attribute: str) -> dict[str, Candidate]:
    """Return no holds, and the holds found for each reach, without repetitions."""
    share, step = search.flip(attribute, {})
    found = {"none": Candidate({}, max(step, float(_GRID[1])))}
    for name, reach in REACHES.items():
        holds = search.holds(attribute, reach)
        if holds and all(holds != other.holds for other in found.values()):
            _, step = search.flip(attribute, holds, share)
            found[name] = Candidate(holds, max(step, float(_GRID[1])))
    return found


def keep_candidates(
    folder: ResumableFolder, search: HoldSearch, attribute: str
) -> dict[str, Candidate]:
    """Return what `find_candidates` finds, or read what it found before in this folder.

    So processes that share a measurement render the same candidates, even if their processors round
    the last digits of a search differently.
    """
    names = search.boundaries.names

    def find() -> dict[str, NDArray[np.float64]]:
        found = find_candidates(search, attribute)
        discounts = np.full((len(found), len(names)), np.nan)
        for row, candidate in zip(discounts, found.values(), strict=True):
            for name, discount in candidate.holds.items():
                row[names.index(name)] = discount
        steps = np.array([candidate.step for candidate in found.values()])
        kinds = np.array([_KINDS.index(kind) for kind in found])
        return {"kinds": kinds, "discounts": discounts, "steps": steps}

    # found in standard deviations; older versions kept what they found by unit lengths
    kept = folder.keep(f"candidates-{attribute}-{search.name}-deviations", find)
    return {
        _KINDS[kind]: Candidate(
            {name: float(g) for name, g in zip(names, row, strict=True) if not np.isnan(g)},
            float(step),
        )
        for kind, row, step in zip(kept["kinds"], kept["discounts"], kept["steps"], strict=True)
    }


def _strange_where_flipped(traces: Traces, trace: Trace, found: Curve, share: float) -> float:
    magnitude = found.magnitude(share)
    shares = strange_shares(trace, traces.typical)
    return float(np.interp(magnitude or 0.0, trace.steps, shares))
