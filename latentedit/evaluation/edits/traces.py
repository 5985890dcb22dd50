"""Following faces along an edit: what the networks see at every step, kept on disk.

Figures about edits (effects, holds, safe ranges, calibration) are computed from traces; `aging`
keeps what it sees itself.
A trace's file is named by what the trace was made of. So a measurement that was stopped goes on
where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import for_many
from latentedit.classifiers.dlib_network import WIDTH
from latentedit.editing.projection import discounted_direction
from latentedit.evaluation.edits.strangeness import Places, PlacesFit
from latentedit.inference import descriptors
from latentedit.io.folders import ResumableFolder
from latentedit.io.images import UInt8Array

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor

FloatArray = NDArray[np.float32]

Track = Callable[[Iterable[int], int, str], Iterator[int]]
"""Wraps an iterator of a known length under a title: a progress bar."""

CARD = "traces.json"

TYPICAL_SHARE = 0.95
"""Share of unedited faces that count as typical."""

_FITTED = 0.75
"""Share of unedited faces that distributions are fitted to; the others say what is typical."""

_CHUNK = 64
"""Faces observed together; no more pictures are in memory at once."""


def no_bar(items: Iterable[int], total: int, title: str) -> Iterator[int]:
    """Iterate without a progress bar."""
    return iter(items)


@dataclass(frozen=True, eq=False)
class Observations:
    """What the networks see in N faces.

    Attributes:
        logits: the classifier's, float32 [N, K].
        features: its last stage averaged over pixels, float32 [N, F].
        years: estimated ages, float32 [N]; NaN without an age estimator.
        descriptors: dlib's, float32 [N, 128], or NaN [N, 128] where they were not asked for.
        strangeness: distance from unedited faces, float32 [N], or NaN; see `strangeness.Places`.
    """

    logits: FloatArray
    features: FloatArray
    years: FloatArray
    descriptors: FloatArray
    strangeness: FloatArray


StrangenessMeasure = Callable[[FloatArray], FloatArray]
"""Feature maps [N, P, C] -> strangeness [N]."""


def observe(
    editor: FaceEditor,
    images: UInt8Array,
    *,
    describe: bool = False,
    estimate: bool = True,
    measure: StrangenessMeasure | None = None,
) -> Observations:
    """Observe uint8 [N, H, W, 3] faces with every network there is.

    Args:
        editor: with a classifier.
        describe: compute dlib's descriptors too (extra ``evaluate``).
        estimate: estimate ages, where the editor has an estimator.
        measure: computes strangeness; without it, strangeness is NaN.

    Raises:
        LatentEditError: no classifier, or the extra is missing.
    """
    logits, features, maps = editor.logits_features_and_maps(images)
    nothing = np.full(len(images), np.nan, np.float32)
    return Observations(
        logits,
        features,
        editor.age(images) if estimate and editor.estimates_age else nothing,
        descriptors.describe(editor.judges.cut(images), device=str(editor.device))
        if describe
        else np.repeat(nothing[:, None], WIDTH, axis=1),
        measure(maps) if measure else nothing,
    )


def observe_latents(
    editor: FaceEditor,
    z: ArrayLike,
    *,
    describe: bool = False,
    estimate: bool = True,
    measure: StrangenessMeasure | None = None,
    size: int | None = None,
    track: Track = no_bar,
    title: str = "Faces",
) -> Observations:
    """Render latents and observe their faces, a few pictures at a time; see `observe`.

    Args:
        z: float [N, D], or [N, L, D] with a latent for each layer.
        size: edge of the pictures; by default `FaceEditor.judged_size`.
    """
    z = np.asarray(z, np.float32)
    parts = []
    for start in track(range(0, len(z), _CHUNK), -(-len(z) // _CHUNK), title):
        images = editor.render(z[start : start + _CHUNK], size or editor.judged_size)
        parts.append(observe(editor, images, describe=describe, estimate=estimate, measure=measure))
    return Observations(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in Observations.__dataclass_fields__
        )
    )


@dataclass(frozen=True, eq=False)
class Typical:
    """Figures of unedited faces, to say how far another face is from them.

    Attributes:
        centre: mean of the classifier's features, float32 [F].
        places: distributions of the classifier's early features.
        strangeness: of R unedited faces that `places` was not fitted to, float32 [R].
        logits: the classifier's, of the same R faces, float32 [R, K].
        descriptor: mean of dlib's descriptors, float32 [128]; NaN where not asked for.
    """

    centre: FloatArray
    places: Places
    strangeness: FloatArray
    logits: FloatArray
    descriptor: FloatArray

    @property
    def limit(self) -> float:
        """The strangeness that 95 % of unedited faces stay below."""
        return float(np.quantile(self.strangeness, TYPICAL_SHARE))


@dataclass(frozen=True, eq=False)
class Trace:
    """N faces followed along one attribute.

    Attributes:
        attribute: what moves.
        holds: {name: discount} of what must not move.
        steps: float64 [S], increasing; one of them is 0, the unedited faces. If 0 is the first,
            the steps are magnitudes: each face moves away from its own side of the attribute.
        logits: the classifier's, float32 [N, S, K].
        years: estimated ages, float32 [N, S]; NaN without an age estimator.
        identity: cosine of the classifier's centred features to the unedited face's, [N, S].
        dlib: cosine of dlib's centred descriptor to the unedited face's, [N, S]; NaN where not
            computed.
        strangeness: distance from unedited faces, [N, S]; see `strangeness.Places`.
    """

    attribute: str
    holds: Mapping[str, float]
    steps: NDArray[np.float64]
    logits: FloatArray
    years: FloatArray
    identity: FloatArray
    dlib: FloatArray
    strangeness: FloatArray

    @property
    def start(self) -> int:
        """Index of step 0."""
        return int(np.flatnonzero(self.steps == 0)[0])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The classifier's probabilities, float64 [N, S, K]."""
        return sigmoid(self.logits)

    @property
    def is_away(self) -> bool:
        """Whether steps are magnitudes, away from each face's own side."""
        return self.start == 0

    def at(self, steps: Sequence[float]) -> Trace:
        """The same trace at some of its steps."""
        columns = [int(np.flatnonzero(self.steps == step)[0]) for step in steps]
        arrays = {name: getattr(self, name)[:, columns] for name in _ARRAYS}
        return Trace(self.attribute, self.holds, self.steps[columns], **arrays)


_ARRAYS = ("logits", "years", "identity", "dlib", "strangeness")


def crossing(
    places: NDArray[np.float64], values: NDArray[np.floating[Any]], level: float
) -> float | None:
    """Return the place where values first reach a level; None if nowhere.

    Places increase. Between them, values are interpolated linearly.
    """
    reached = np.flatnonzero(values >= level)
    if not len(reached):
        return None
    after = int(reached[0])
    if after == 0:
        return float(places[0])
    part = (level - values[after - 1]) / (values[after] - values[after - 1])
    return float(places[after - 1] + part * (places[after] - places[after - 1]))


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """Logits -> probabilities, float64."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(logits, np.float64))))


class Traces:
    """A folder of traces of one model.

    Attributes:
        editor: generator, classifier, boundaries, perhaps an age estimator.
        boundaries: those that are followed; the editor's, or others of its generator.
        folder: where everything that was seen is kept.
        typical: unedited faces.
        describe: whether dlib's descriptors are computed (slow).
    """

    def __init__(
        self,
        editor: FaceEditor,
        folder: str | Path,
        typical_seeds: Sequence[int],
        *,
        boundaries: Boundaries | None = None,
        describe: bool = False,
        track: Track = no_bar,
    ) -> None:
        """Open the folder, or start it.

        Args:
            typical_seeds: seeds of the unedited faces that strangeness is measured against.

        Raises:
            LatentEditError: no boundaries or classifier, or the folder holds another measurement
                or cannot be written.
        """
        self.editor, self.describe, self._track = for_many(editor), describe, track
        self.boundaries = boundaries or editor.boundaries
        self.folder = ResumableFolder(
            folder,
            CARD,
            self._card(typical_seeds),
            content="measurement",
            before={"precision": defaults.PRECISION, "psi": self.editor.own_psi},
        )
        kept = self.folder.keep("typical", lambda: self._typical(typical_seeds))
        self.typical = Typical(
            kept["centre"],
            Places(kept["mean"], kept["whitening"]),
            kept["strangeness"],
            kept["logits"],
            kept["descriptor"],
        )

    def trace(
        self,
        attribute: str,
        holds: Mapping[str, float],
        steps: Sequence[float],
        seeds: Sequence[int],
    ) -> Trace:
        """Follow the faces of some seeds, or read their trace if they were followed before.

        Args:
            attribute: a name in the boundaries.
            holds: {name: discount}.
            steps: increasing; 0 is among them.
            seeds: of the faces.

        Raises:
            LatentEditError: see `projection.discounted_direction`.
        """
        direction = self._direction(attribute, holds)
        made_of = [attribute, sorted(holds.items()), [float(step) for step in steps], list(seeds)]
        arrays = self.folder.keep(
            f"{attribute}-{_digest(made_of)}",
            lambda: self._follow(direction, [np.array([step]) for step in steps], seeds),
        )
        return Trace(attribute, dict(holds), np.array(steps, np.float64), **arrays)

    def away(
        self,
        attribute: str,
        holds: Mapping[str, float],
        magnitudes: Sequence[float],
        seeds: Sequence[int],
    ) -> Trace:
        """Follow each face only away from its own side of an attribute; ages are not estimated.

        Args:
            attribute: a name in the boundaries that the classifier scores.
            holds: {name: discount}.
            magnitudes: increasing, from 0.
            seeds: of the faces.

        Raises:
            LatentEditError: see `projection.discounted_direction`.
        """
        direction = self._direction(attribute, holds)
        column = self.editor.attributes.index(attribute)
        steps = [float(magnitude) for magnitude in magnitudes]
        made_of = ["away", attribute, sorted(holds.items()), steps, list(seeds)]

        def make() -> dict[str, FloatArray]:
            side = np.where(self.originals(seeds).logits[:, column] > 0, -1.0, 1.0)
            moves = [magnitude * side for magnitude in magnitudes]
            return self._follow(direction, moves, seeds, estimate=False)

        arrays = self.folder.keep(f"{attribute}-{_digest(made_of)}", make)
        return Trace(attribute, dict(holds), np.array(magnitudes, np.float64), **arrays)

    def _direction(self, attribute: str, holds: Mapping[str, float]) -> NDArray[np.float64]:
        """What a step of 1 adds to latents, [D]."""
        return self.boundaries.moves(discounted_direction(self.boundaries, attribute, holds).vector)

    def originals(self, seeds: Sequence[int]) -> Observations:
        """What the networks see in the unedited faces of some seeds."""
        arrays = self.folder.keep(
            f"original-{_digest(list(seeds))}",
            lambda: asdict(self._observe(self.editor.sample(seeds))),
        )
        return Observations(**arrays)

    def _follow(
        self,
        direction: NDArray[np.float64],
        steps: Sequence[NDArray[np.float64]],
        seeds: Sequence[int],
        *,
        estimate: bool = True,
    ) -> dict[str, FloatArray]:
        """Observe N faces after S steps; each step is [1] for all faces, or [N] for each face."""
        z, before = self.editor.sample(seeds), self.originals(seeds)
        seen = []
        for step in steps:
            moved = (z + step[:, None] * direction).astype(np.float32)
            after = self._observe(moved, estimate=estimate) if step.any() else before
            seen.append(self._seen(after, before))
        return {name: np.stack([column[name] for column in seen], axis=1) for name in _ARRAYS}

    def _seen(self, after: Observations, before: Observations) -> dict[str, FloatArray]:
        centre, middle = self.typical.centre, self.typical.descriptor
        return {
            "logits": after.logits,
            "years": after.years,
            "identity": descriptors.cosine(after.features - centre, before.features - centre),
            "dlib": descriptors.cosine(after.descriptors - middle, before.descriptors - middle),
            "strangeness": after.strangeness,
        }

    def _observe(self, z: FloatArray, *, estimate: bool = True) -> Observations:
        measure = self.typical.places.strangeness
        return observe_latents(
            self.editor, z, describe=self.describe, estimate=estimate, measure=measure
        )

    def _typical(self, seeds: Sequence[int]) -> dict[str, FloatArray]:
        z = self.editor.sample(seeds)
        fitted, fit = round(_FITTED * len(z)), PlacesFit()

        see = partial(
            observe_latents,
            self.editor,
            describe=self.describe,
            estimate=False,
            track=self._track,
        )
        first = see(z[:fitted], measure=fit.add, title="Unedited faces")
        places = fit.fit()
        others = see(z[fitted:], measure=places.strangeness, title="More unedited faces")
        return {
            "centre": np.concatenate((first.features, others.features)).mean(0),
            "descriptor": np.concatenate((first.descriptors, others.descriptors)).mean(0),
            "mean": places.mean,
            "whitening": places.whitening,
            "strangeness": others.strangeness,
            "logits": others.logits,
        }

    def _card(self, typical_seeds: Sequence[int]) -> dict[str, Any]:
        """What all traces in the folder are made from."""
        return {
            "generator_hash": self.editor.generator_hash,
            "classifier_hash": self.editor.classifier_hash,
            "boundaries": self.boundaries.normals_hash,
            "attributes": list(self.boundaries.names),
            "age": self.editor.age_hash,
            "precision": self.editor.precision_name,
            "psi": self.editor.generator.truncation,
            "descriptors": "centred" if self.describe else False,
            "strangeness": "mean over places",
            "typical_seeds": [typical_seeds[0], typical_seeds[-1]],
        }


def _digest(made_of: Sequence[Any]) -> str:
    """Return a short name for the plain data that something was made of."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
