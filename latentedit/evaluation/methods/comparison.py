"""Methods at equal effect: find each method's step, then let all judges look at the faces there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.boundaries.pool import Pool, for_many
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.onnx_judge import OnnxJudge
from latentedit.evaluation.edits.curves import HALF, LEAST_SHARE, compared_share
from latentedit.evaluation.edits.measure import open_traces, pooled_latents, scored_latents
from latentedit.evaluation.edits.traces import (
    Traces,
    Track,
    no_bar,
    observe,
    sigmoid,
)
from latentedit.evaluation.methods.base import (
    Found,
    Material,
    Method,
    Reference,
    digest,
    moved,
)
from latentedit.evaluation.methods.equal_effect import Search, predicted_step, search_step
from latentedit.evaluation.methods.witnesses import ask, installed_witnesses
from latentedit.io.images import UInt8Array

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor

FloatArray = NDArray[np.float32]
Seen = dict[str, NDArray[Any]]

MOST_FACES = 100_000
"""Most faces of one ``seed``."""

SEEDS = 40
"""Number of values of ``seed``, from 0."""

_CHUNK = 32
"""Faces drawn and looked at together."""


@dataclass(frozen=True)
class Plan:
    """How much is compared.

    Attributes:
        faces: number of faces that every method edits.
        seed: which faces.
        share: share of faces in which the target's probability should cross 0.5.
        size: edge of the pictures that all judges look at; `FaceEditor.judged_size` by default.
        reference: number of latents to score for methods that learn from samples, without a pool.
        typical: number of unedited faces that strangeness is measured against.
        trials: number of faces that directions without names are tried on.
    """

    faces: int = defaults.METHODS_FACES
    seed: int = 0
    share: float = HALF
    size: int | None = None
    reference: int = defaults.METHODS_REFERENCE
    typical: int = defaults.METHODS_TYPICAL
    trials: int = defaults.METHODS_TRIAL_FACES

    def __post_init__(self) -> None:
        if not 2 <= self.faces <= MOST_FACES or not 0 <= self.seed < SEEDS:
            raise LatentEditError(f"give 2 to {MOST_FACES} faces, and a seed from 0 to {SEEDS - 1}")
        if not LEAST_SHARE <= self.share < 1:
            raise LatentEditError(f"share {self.share} cannot be: give {LEAST_SHARE} to below 1")

    @property
    def seeds(self) -> range:
        """Seeds of the compared faces."""
        first = defaults.METHODS_FIRST_SEED + self.seed * MOST_FACES
        return range(first, first + self.faces)

    @property
    def tolerance(self) -> float:
        """Difference from `share` that counts as equal: 1 %, or half a face if that is more."""
        return max(0.01, 0.5 / self.faces)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one method for one attribute.

    Attributes:
        found: the method's direction; None if the method cannot be used.
        why: the reason, if it cannot be used.
        seconds: how long it took to find the direction.
        search: the steps at which faces were looked at.
        leaks: at each of the search's steps the mean absolute change of the other attributes'
            probabilities, [S].
        seen: what all judges see at the step of equal effect, by name; empty where the share is
            not reached.
    """

    found: Found | None
    why: str = ""
    seconds: float = 0.0
    search: Search | None = None
    leaks: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    seen: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Comparison:
    """Methods compared on the same faces of one model; what was seen is kept in a folder.

    Attributes:
        editor: generator, classifier, boundaries.
        plan: how much is compared.
        material: what methods look at.
        judge: the user's own classifier, or None.
        size: edge of the pictures that the judges look at.
    """

    def __init__(
        self,
        editor: FaceEditor,
        folder: str | Path,
        plan: Plan | None = None,
        *,
        pool: Pool | None = None,
        judge: OnnxJudge | None = None,
        track: Track = no_bar,
    ) -> None:
        """Open the folder, or start it; score reference latents if there is no pool.

        Args:
            pool: latents and scores that methods learn from.
            judge: a classifier of the user's own, to look at the edits too.

        Raises:
            LatentEditError: no boundaries or classifier, the pool is another model's, or the folder
                holds another measurement.
        """
        self.plan = plan or Plan()
        self.editor, self._track = for_many(editor), track
        self.size = self.plan.size or self.editor.judged_size
        self.editor.generator.source_of(self.size)
        self.judge = judge
        self._witnesses = installed_witnesses(judge)
        self._traces: Traces = open_traces(
            self.editor, folder, typical=self.plan.typical, track=track
        )
        first = defaults.HOLDS_FIRST_SEED
        self.material = Material(
            self.editor,
            self._traces.boundaries,
            self._reference(pool),
            self._traces.folder,
            range(first, first + self.plan.trials),
            self.size,
        )
        self._drawn: tuple[str, UInt8Array] | None = None

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Names of the independent judges."""
        return tuple(each.name for each in self._witnesses)

    @property
    def limit(self) -> float:
        """Strangeness that 95 % of unedited faces stay below."""
        return self._traces.typical.limit

    @cached_property
    def latents(self) -> FloatArray:
        """Latents of the compared faces, [N, D]."""
        return self.editor.sample(self.plan.seeds)

    @cached_property
    def originals(self) -> Seen:
        """What all judges see in the unedited faces."""
        still = Found(np.zeros(self.editor.latent_dim))
        return self._everything(still, np.zeros(self.plan.faces), "original")

    def before(self, found: Found) -> Seen:
        """What all judges see in the unedited faces, drawn in the precision of an edit."""
        drawn_in = self.material.editor_for(found.move).precision_name
        if drawn_in == self.editor.precision_name:
            return self.originals
        return self._originals_in_float32

    @cached_property
    def _originals_in_float32(self) -> Seen:
        still = Found(np.zeros((self.editor.layers, self.editor.latent_dim)))
        return self._everything(still, np.zeros(self.plan.faces), "original-float32")

    def sides(self, attribute: str) -> NDArray[np.float64]:
        """Return the sign of each face's step, [N]: -1 with the attribute, 1 without it."""
        logits = self.originals["logits"][:, self.material.column(attribute)]
        return np.where(logits > 0, -1.0, 1.0)

    def find(self, method: Method, attribute: str) -> tuple[Found | None, str, float]:
        """Return a method's direction, or None and why, and the seconds that finding it took."""
        begun = time.perf_counter()
        try:
            found, why = method.find(self.material, attribute), ""
        except LatentEditError as error:
            found, why = None, str(error)
        return found, why, time.perf_counter() - begun

    def measure(self, method: Method, attribute: str, share: float) -> Measured:
        """Measure one method for one attribute, where a share of the faces has crossed."""
        found, why, seconds = self.find(method, attribute)
        if found is None:
            return Measured(None, why, seconds)
        name = f"{attribute}-{digest(found.move, list(self.plan.seeds), self.size)}"
        seconds = float(
            self.material.folder.keep(
                f"found-{method.name}-{name}", lambda: {"seconds": np.array([seconds])}
            )["seconds"][0]
        )
        sides = self.sides(attribute)

        def at(step: float) -> Seen:
            return self.material.folder.keep(
                f"{name}-{step:.5f}",
                lambda: self._scores(found, step * sides, f"{name}-{step:.5f}"),
            )

        search = search_step(
            lambda step: self._crossed(at(step)["logits"], attribute),
            share,
            start=self._start(found, attribute, share),
            reach=found.reach,
            tolerance=self.plan.tolerance,
        )
        leaks = [self.leakage(found, at(step)["logits"], attribute).mean() for step in search.steps]
        seen: Seen = {}
        if search.step is not None:
            key = f"{name}-{search.step:.5f}"
            seen = self._everything(found, search.step * sides, key)
        return Measured(found, "", seconds, search, np.array(leaks), seen)

    def leakage(self, found: Found, logits: FloatArray, attribute: str) -> NDArray[np.float64]:
        """Mean absolute change of the other attributes' probabilities by an edit, [N].

        Args:
            found: along which it went.
            logits: of the edited faces, [N, K].
            attribute: the target.
        """
        change = np.abs(sigmoid(logits) - sigmoid(self.before(found)["logits"]))
        others = np.arange(change.shape[1]) != self.material.column(attribute)
        return change[:, others].mean(1) if others.any() else np.zeros(len(change))

    def edited(self, found: Found, attribute: str, step: float, faces: slice) -> FloatArray:
        """Latents of some compared faces, each moved away from its own side."""
        return moved(self.latents[faces], found.move, step * self.sides(attribute)[faces])

    def _crossed(self, logits: FloatArray, attribute: str) -> float:
        column = self.material.column(attribute)
        before = self.originals["logits"][:, column] > 0
        return float(((logits[:, column] > 0) != before).mean())

    def _start(self, found: Found, attribute: str, share: float) -> float:
        """Return a first guess of the step, from the boundary; it is within the reach."""
        boundaries = self.material.boundaries
        row = boundaries.index(attribute)
        move = found.move if found.move.ndim == 1 else found.move.mean(0)
        ends = np.stack((self.latents[0], self.latents[0] + move))
        before, after = boundaries.distances(ends)[:, row]
        distances = boundaries.distances(self.latents)[:, row]
        guess = predicted_step(distances, float(after - before), share)
        least, most = found.reach / 16, found.reach / 2
        return float(np.clip(most if guess is None else guess, least, most))

    def _scores(self, found: Found, steps: NDArray[np.float64], key: str) -> Seen:
        """Return logits and strangeness of all faces after a step each; keep the last pictures."""
        editor = self.material.editor_for(found.move)
        parts, pictures = [], []
        for start in range(0, self.plan.faces, _CHUNK):
            rows = slice(start, start + _CHUNK)
            drawn = editor.render(moved(self.latents[rows], found.move, steps[rows]), self.size)
            seen = observe(
                editor, drawn, estimate=False, measure=self._traces.typical.places.strangeness
            )
            parts.append({"logits": seen.logits, "strangeness": seen.strangeness})
            pictures.append(self.editor.judges.cut(drawn))
        self._drawn = key, np.concatenate(pictures)
        return _joined(parts)

    def _everything(self, found: Found, steps: NDArray[np.float64], key: str) -> Seen:
        """Return what the classifier and all witnesses see of all faces after a step each."""
        if key.startswith("original"):
            key = f"{key}-{digest(list(self.plan.seeds), self.size)}"
        scores = self.material.folder.keep(key, lambda: self._scores(found, steps, key))

        def more() -> Seen:
            if self._drawn is None or self._drawn[0] != key:
                self._scores(found, steps, key)
            assert self._drawn is not None
            return ask(self._drawn[1], self._witnesses)

        if not self.witnesses:
            return scores
        asked = digest(self.witnesses, *([self.judge.hash] if self.judge else []))
        said = self.material.folder.keep(f"{key}-{asked}", more)
        return {**scores, **said}

    def _reference(self, pool: Pool | None) -> Reference:
        traces = self._traces
        if pool is not None:
            latents, logits = pooled_latents(traces, pool)
            return Reference(latents, logits, f"pool of {len(latents):,} latents")
        latents, logits = scored_latents(traces, self.plan.reference, self._track)
        return Reference(latents, logits, f"{len(latents):,} latents")


def _joined(parts: Sequence[Seen]) -> Seen:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compare(
    comparison: Comparison,
    methods: Sequence[Method],
    attributes: Sequence[str],
    *,
    track: Track = no_bar,
) -> dict[str, tuple[float, dict[str, Measured]]]:
    """Measure all methods for all attributes.

    The first method sets the share. If it never flips the plan's share, all methods are compared at
    `curves.compared_share` of the largest share that it flips, but at `LEAST_SHARE` or more.

    Returns:
        By attribute the share and, by the method's name, what was measured.
    """
    wanted = comparison.plan.share
    pairs = [(name, method) for name in attributes for method in methods]
    shares: dict[str, float] = {}
    rows: dict[str, dict[str, Measured]] = {name: {} for name in attributes}
    for index in track(range(len(pairs)), len(pairs), "Methods"):
        attribute, method = pairs[index]
        done = comparison.measure(method, attribute, shares.get(attribute, wanted))
        if attribute not in shares:
            shares[attribute] = wanted
            if done.search is not None and done.search.step is None:
                shares[attribute] = max(LEAST_SHARE, compared_share(done.search.most))
                done = comparison.measure(method, attribute, shares[attribute])
        rows[attribute][method.name] = done
    return {name: (shares[name], rows[name]) for name in attributes}
