"""Fitting a pool's boundaries: an SVM for each attribute, and how good it is. No torch here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
)
from threadpoolctl import threadpool_limits

from latentedit.boundaries.finder import BoundaryFinder
from latentedit.boundaries.model import Boundaries, Float64Array, entangled_holds
from latentedit.boundaries.whitening import WhitenedLatents, Whitening
from latentedit.errors import LatentEditError
from latentedit.io.launch import cores

SELECTIONS = (
    *((0.02, 0.02), (0.05, 0.05), (0.1, 0.1), (0.25, 0.25), (0.5, 0.5)),
    *((0.05, 0.25), (0.25, 0.05)),
)
"""Shares of the training latents that are taken from the highest and from the lowest scores: few
sure ones or many, balanced or not. One more choice is all latents, as the classifier labels them;
it is the best one for most attributes that few faces have. For each attribute, the validation set
chooses."""

MIN_CLASS = 50
"""Fewest samples of a class, whatever the share."""

MAX_CLASS = 50_000
"""Most samples of a class, however large the pool: 100 MB of latents of length 512."""

MIN_POOL = 500
"""Fewest latents that boundaries are fitted on."""

RARE_SHARE, RARE_COUNT = 0.005, 30
"""An attribute is too rare to learn where fewer have it, or lack it, than this share of the latents
or this many test latents."""

FEW = 10_000
"""With up to this many labels, a boundary is fitted once more on all of them, held-out ones too."""

_IN_MEMORY = 150_000
"""Most training latents that are read at once; from a larger pool, only selected ones are read."""

_WHITENED = 50_000
"""Most latents that a covariance is computed from: about a hundred for each direction."""

_CHUNK = 8192

_AT_ONCE = 4
"""Most attributes fitted at once; each may keep `MAX_CLASS` latents of both classes twice."""

Take = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Reads training latents by their row numbers."""


class Latents(Protocol):
    """Latents [N, D], in memory or on disk, read by rows."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> NDArray[np.float32]:
        """The rows of a slice or of an increasing array of row numbers."""
        ...


def fit_boundaries(
    z: Latents,
    scores: NDArray[np.float32],
    names: Sequence[str],
    generator_hash: str,
    *,
    space: str = "z",
    whitening: Whitening | None = None,
    on_attribute: Callable[[str, Mapping[str, float]], None] = lambda name, figures: None,
) -> Boundaries:
    """Fit one boundary per attribute on the most confident samples of both classes.

    The pool's last fifth is the test set, and the tenth before it is the validation set. Both keep
    the natural prevalence. For each of `SELECTIONS`, an SVM separates a share of the highest scores
    from a share of the lowest. One more SVM separates all latents that are likelier to have the
    attribute than not from all others. The SVM with the best validation ROC AUC is kept. Its bias
    is moved to the threshold with the best sum of accuracy and F1 on the validation set.

    Labels are all taken, because none is surer than another. Where there are up to `FEW`, the
    boundary is fitted once more, with the test and validation sets, so that no label is lost. The
    two sets have chosen and measured before.

    Args:
        z: [N, D] latents, an array or `pool.Pool.latents`, of which only what is needed is read.
        scores: [N, K] probabilities.
        names: K attribute names.
        generator_hash: of the generator that rendered the pool.
        space: of the latents.
        whitening: coordinates to fit in, see `choose_whitening`; none by default.
        on_attribute: called with each attribute's name and figures.

    Raises:
        LatentEditError: fewer than 500 latents, or shapes that do not fit together.
    """
    if len(z) != len(scores) or scores.shape[1:] != (len(names),):
        raise LatentEditError(
            f"cannot fit {len(names)} boundaries on latents {list(z.shape)} and scores "
            f"{list(scores.shape)}: give a row for each latent and a column for each boundary"
        )
    if len(z) < MIN_POOL:
        raise LatentEditError(
            f"boundaries cannot be fitted on {len(z)} faces: build a pool of at least {MIN_POOL}, "
            "or label as many"
        )
    if not np.isfinite(scores).all():
        raise LatentEditError("the pool holds NaN or infinity: build it again")
    if whitening is not None:
        z = WhitenedLatents(z, whitening)
    train, validation, test = _split(len(z))
    trials = _fit_all(z, scores[train])
    normals = np.stack([trial.finder.normal_ for row in trials for trial in row])
    distances = _distances(z, slice(validation.start, test.stop), normals)
    known, unseen = np.split(distances, [validation.stop - validation.start])
    chosen, biases, figures, first = [], [], {}, 0
    for column, (name, row) in enumerate(zip(names, trials, strict=True)):
        columns = slice(first, first := first + len(row))
        target = _target(scores[validation, column])
        aucs = [_roc_auc(target, found) for found in known[:, columns].T]
        place = int(np.argmax(aucs))
        trial, at = row[place], columns.start + place
        threshold = _best_threshold(target, known[:, at])
        figures[name] = _figures(trial, scores[test, column] > 0.5, unseen[:, at] - threshold)
        normal = trial.finder.normal_
        if len(z) <= FEW and are_labels(scores[:, column]):
            normal, threshold = _fit_again(z, scores[:, column], normal, distances[:, at])
        chosen.append(normal)
        biases.append(-threshold)
        on_attribute(name, figures[name])
    stacked = np.stack(chosen)
    return Boundaries(
        names=tuple(names),
        normals=stacked,
        biases=np.array(biases),
        generator_hash=generator_hash,
        space=space,
        figures=figures,
        auto=entangled_holds(tuple(names), stacked, figures=figures),
        rare=tuple(name for name, values in figures.items() if _is_rare(values)),
        whitening=whitening,
    )


def choose_whitening(z: Latents, space: str) -> Whitening | None:
    """Return the coordinates in which boundaries of a space are fitted.

    z lies evenly on its sphere and stays as it is. Any other space is whitened by the first
    `_WHITENED` latents.
    """
    return None if space == "z" else Whitening.of(z[: min(len(z), _WHITENED)])


@dataclass(frozen=True)
class _Trial:
    """An SVM on one selection of samples."""

    finder: BoundaryFinder
    samples: int
    train_accuracy: float


def _fit_all(z: Latents, scores: NDArray[np.float32]) -> list[list[_Trial]]:
    """Fit all attributes' SVMs: as many attributes at once as there are cores, up to `_AT_ONCE`."""
    workers = min(_AT_ONCE, cores())
    readers = _readers(z, scores)
    trials: list[list[_Trial]] = []

    def fit(reader: tuple[Take, int]) -> list[_Trial]:
        take, column = reader
        return _fit_selections(take, scores[:, column])

    # threads inside a product would wait for each other most of the time
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        while some := list(islice(readers, workers)):  # only these are in memory
            trials += pool.map(fit, some)
            some.clear()
    return trials


def _fit_selections(take: Take, scores: NDArray[np.float32]) -> list[_Trial]:
    """Fit one attribute's SVMs. `take` reads training latents; `scores` [N] are their scores."""
    trials = []
    for rows, count in _selections(scores):
        order = np.argsort(rows)
        labels = (np.arange(len(rows)) >= count)[order]
        latents = take(rows[order])
        finder = BoundaryFinder().fit(latents, labels)
        hits = (finder.decision_function(latents) > 0) == labels
        trials.append(_Trial(finder, len(rows), float(hits.mean())))
    return trials


def are_labels(scores: NDArray[np.float32]) -> bool:
    """Whether there are only two values, so that no score is surer than another."""
    low, high = scores.min(), scores.max()
    return bool(low < high and ((scores == low) | (scores == high)).all())


def _fit_again(
    z: Latents, labels: NDArray[np.float32], normal: Float64Array, unseen: NDArray[np.float32]
) -> tuple[Float64Array, float]:
    """Return the normal and threshold of a fit on all labels.

    Args:
        normal: of the fit without the held-out labels, which are the last ones.
        unseen: distances of the held-out latents along `normal`. They choose its threshold. The new
            threshold lets the same share of faces pass.
    """
    latents, has = z[: len(labels)], labels > labels.min()
    threshold = _best_threshold(_target(has[-len(unseen) :].astype(np.float32)), unseen)
    share = float((latents @ normal > threshold).mean())
    again = BoundaryFinder().fit(latents, has).normal_
    return again, float(np.quantile(latents @ again, 1 - share))


def _selections(scores: NDArray[np.float32]) -> list[tuple[NDArray[np.int64], int]]:
    """Return row numbers of each selection, lowest scores first, and how many lowest ones."""
    order, count = np.argsort(scores, kind="stable"), len(scores)
    above = int((scores > scores[order[0]]).sum()) or count // 2  # no label in both classes
    below = int((scores < scores[order[-1]]).sum()) or count // 2
    likely = int(np.clip((scores > 0.5).sum(), MIN_CLASS, count - MIN_CLASS))
    sizes = [(int(high * count), int(low * count)) for high, low in SELECTIONS]
    sizes.append((likely, count - likely))
    if are_labels(scores):
        sizes = [(above, below)]  # take all
    found: dict[tuple[int, int], NDArray[np.int64]] = {}
    for high, low in sizes:
        high = min(max(MIN_CLASS, high), MAX_CLASS, above)
        low = min(max(MIN_CLASS, low), MAX_CLASS, below)
        found[low, high] = np.concatenate((order[:low], order[count - high :]))
    return [(rows, low) for (low, _), rows in found.items()]


def _readers(z: Latents, scores: NDArray[np.float32]) -> Iterator[tuple[Take, int]]:
    """Yield for each attribute a reader of training latents, and its column.

    A pool that fits into memory is read once. From a larger one, the rows that each attribute
    selects are read.
    """
    count = len(scores)
    if count <= _IN_MEMORY:
        latents = z[:count]
        _check_finite(latents)
        own = threading.local()

        def take(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            if not hasattr(own, "selected"):  # fresh memory takes longer than the copy
                own.selected = np.empty_like(latents)
            return np.take(latents, rows, axis=0, out=own.selected[: len(rows)], mode="clip")

        for column in range(scores.shape[1]):
            yield take, column
        return
    for column in range(scores.shape[1]):
        selections = _selections(scores[:, column])
        rows = np.unique(np.concatenate([rows for rows, _ in selections]))
        latents = z[rows]
        _check_finite(latents)
        yield _Subset(latents, rows), column


@dataclass(frozen=True)
class _Subset:
    """Some rows of a large pool, by their numbers in it."""

    latents: NDArray[np.float32]
    rows: NDArray[np.int64]

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.latents[np.searchsorted(self.rows, rows)]


def _distances(z: Latents, rows: slice, normals: Float64Array) -> NDArray[np.float32]:
    """Signed distances of a slice of latents to planes through the origin, float32 [M, T]."""
    parts = []
    for start in range(rows.start, rows.stop, _CHUNK):
        latents = z[start : min(start + _CHUNK, rows.stop)]
        _check_finite(latents)
        parts.append(latents @ normals.T.astype(np.float32))
    return np.concatenate(parts)


def _check_finite(latents: NDArray[np.float32]) -> None:
    if not np.isfinite(latents).all():
        raise LatentEditError("the pool holds NaN or infinity: build it again")


def _figures(
    trial: _Trial, positive: NDArray[np.bool_], distances: NDArray[np.float32]
) -> dict[str, float]:
    """What a boundary achieves on the test latents."""
    found = distances > 0
    two = 0 < positive.sum() < len(positive)
    figures = {
        "samples": trial.samples,
        "train_accuracy": trial.train_accuracy,
        "accuracy": float(accuracy_score(positive, found)),
        "f1": float(f1_score(positive, found, zero_division=0.0)),
        "roc_auc": _roc_auc(positive, distances),
        "average_precision": float(average_precision_score(positive, distances)) if two else 0.0,
        "prevalence": float(positive.mean()),
        "test_size": len(positive),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def _is_rare(figures: Mapping[str, float]) -> bool:
    """Whether too few latents have the attribute, or lack it, for its boundary to be trusted."""
    share = min(figures["prevalence"], 1 - figures["prevalence"])
    return share < RARE_SHARE or share * figures["test_size"] < RARE_COUNT


def rare_attributes(scores: NDArray[np.float32], names: Sequence[str]) -> list[str]:
    """Attributes that too few latents of a pool have, or lack, for boundaries to be trusted.

    Args:
        scores: probabilities [N, K].
        names: of the columns.
    """
    shares, count = (scores > 0.5).mean(0), len(scores[_split(len(scores))[2]])
    return [
        name
        for name, share in zip(names, shares, strict=True)
        if _is_rare({"prevalence": float(share), "test_size": count})
    ]


def held_out(count: int) -> int:
    """How many of the last latents a fit holds out, to choose and to measure."""
    return count - _split(count)[0].stop


def _split(count: int) -> tuple[slice, slice, slice]:
    """Train, validation and test rows of a pool."""
    test, validation = count // 5, count // 10
    return (
        slice(0, count - test - validation),
        slice(count - test - validation, count - test),
        slice(count - test, count),
    )


def _target(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which latents have the attribute; where all or none do, which score above the median."""
    truth = scores > 0.5
    return truth if 0 < truth.sum() < len(truth) else scores > np.median(scores)


def _roc_auc(truth: NDArray[np.bool_], distances: NDArray[np.floating[Any]]) -> float:
    """ROC AUC, or 0.5 where there is only one class."""
    return float(roc_auc_score(truth, distances)) if 0 < truth.sum() < len(truth) else 0.5


def _best_threshold(truth: NDArray[np.bool_], distances: NDArray[np.floating[Any]]) -> float:
    """The threshold with the best sum of accuracy and F1; 0 where no latent has the attribute."""
    if not truth.any():
        return 0.0
    precision, recall, thresholds = precision_recall_curve(truth, distances)
    precision, recall = precision[:-1], recall[:-1]
    hits = recall * truth.sum()
    found = len(truth) - np.searchsorted(np.sort(distances), thresholds, "left")
    alarms = found - hits
    accuracy = (hits + (~truth).sum() - alarms) / len(truth)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(accuracy + f1)])
