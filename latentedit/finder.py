"""Finding linear boundaries in latent space with scikit-learn. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.svm import LinearSVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from latentedit.boundaries import Boundaries, Float64Array
from latentedit.errors import LatentEditError

SHARES = (0.02, 0.05, 0.1, 0.25)
"""Shares of the pool tried as size of each class; validation chooses, attribute by attribute."""

MIN_CLASS = 50
"""Fewest samples of a class, whatever the share."""

MIN_POOL = 500
"""Fewest latents that boundaries are fitted on."""


class BoundaryFinder(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A linear SVM that reports its boundary as unit normal and bias (Shen et al. 2020, sec. 3).

    Solved in the primal (squared hinge, liblinear's trust-region Newton), which on thousands of
    latents is orders of magnitude faster than the kernel SVM of InterFaceGAN.

    Args:
        C: inverse strength of regularisation. Latents are isotropic, so a strong one (small C)
            loses nothing and averages noise out.
        tol: tolerance of the solver.
        max_iter: most iterations of the solver.
        random_state: seed of the solver.

    Attributes:
        classes_: the two labels; distances are positive on the side of ``classes_[1]``.
        normal_: float64 [n_features], unit length, towards ``classes_[1]``.
        bias_: float; ``normal_ @ z + bias_`` is the signed distance.
    """

    def __init__(
        self,
        C: float = 1e-4,  # noqa: N803 (scikit-learn's name)
        *,
        tol: float = 1e-4,
        max_iter: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> BoundaryFinder:  # noqa: N803
        """Find the boundary between two classes.

        Args:
            X: [N, n_features] latents.
            y: [N] labels of two kinds.

        Raises:
            ValueError: fewer or more than two classes, or NaN.
        """
        z, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, signs = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported. "
                f"The data holds {len(self.classes_)} class(es): a boundary needs two."
            )
        centre = z.mean(0)  # liblinear shrinks its intercept; here that moves nothing
        svm = LinearSVC(
            C=self.C,
            dual=False,
            tol=self.tol,
            max_iter=self.max_iter,
            random_state=self.random_state,
        ).fit(z - centre, signs)
        weights = svm.coef_[0]
        length = float(np.linalg.norm(weights))
        scale = 1.0 / length if length > 0 else 1.0
        self.normal_ = weights * scale
        self.bias_ = float(svm.intercept_[0]) * scale - float(self.normal_ @ centre)
        self.n_iter_ = int(np.max(svm.n_iter_))
        return self

    def decision_function(self, X: ArrayLike) -> Float64Array:  # noqa: N803
        """Signed distances [N] in latent units, positive towards ``classes_[1]``."""
        check_is_fitted(self)
        z = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(z @ self.normal_ + self.bias_, dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The class on whose side each latent lies, [N]."""
        distances = self.decision_function(X)
        return np.asarray(self.classes_[(distances > 0).astype(int)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def fit_boundaries(
    z: NDArray[np.float32],
    scores: NDArray[np.float32],
    names: Sequence[str],
    generator_hash: str,
    *,
    space: str = "z",
    on_attribute: Callable[[str, Mapping[str, float]], None] = lambda name, figures: None,
) -> Boundaries:
    """Fit one boundary per attribute on the most confident samples of both classes.

    The pool's last fifth is the test set and the tenth before it the validation set, both at
    natural prevalence. For each share in `SHARES` an SVM separates that share of highest from
    that share of lowest scores; the share with the best validation ROC AUC is kept, and the bias
    is moved to the threshold with the best validation F1.

    Args:
        z: [N, D] latents.
        scores: [N, K] probabilities.
        names: K attribute names.
        generator_hash: of the generator that rendered the pool.
        on_attribute: called with each attribute's figures.

    Raises:
        LatentEditError: fewer than 500 latents, or shapes that do not fit together.
    """
    if len(z) != len(scores) or scores.shape[1:] != (len(names),) or len(z) < MIN_POOL:
        raise LatentEditError(
            f"cannot fit {len(names)} boundaries on latents {list(z.shape)} and scores "
            f"{list(scores.shape)}: build a pool of at least {MIN_POOL}"
        )
    if not np.isfinite(z).all() or not np.isfinite(scores).all():
        raise LatentEditError("the pool holds NaN or infinity: build it again")
    normals, biases, figures = [], [], {}
    for column, name in enumerate(names):
        normal, bias, values = _fit_one(z, scores[:, column])
        normals.append(normal)
        biases.append(bias)
        figures[name] = values
        on_attribute(name, values)
    stacked = np.stack(normals)
    return Boundaries(
        names=tuple(names),
        normals=stacked,
        biases=np.array(biases),
        generator_hash=generator_hash,
        space=space,
        figures=figures,
        auto=entangled_holds(tuple(names), stacked),
    )


def _fit_one(
    z: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[Float64Array, float, dict[str, float]]:
    """One attribute's normal, bias and figures, from latents [N, D] and scores [N]."""
    train, validation, test = _split(len(z))
    order = np.argsort(scores[train], kind="stable")
    target = _target(scores[validation])
    best_auc, best = -1.0, None
    for share in SHARES:
        size = max(MIN_CLASS, int(share * len(order)))
        rows = np.concatenate((order[:size], order[-size:]))
        labels = np.repeat((False, True), size)
        finder = BoundaryFinder().fit(z[train][rows], labels)
        distances = finder.decision_function(z[validation])
        auc = _roc_auc(target, distances)
        if auc > best_auc:
            hits = finder.predict(z[train][rows]) == labels
            best_auc, best = auc, (finder, size, float(hits.mean()), distances)
    assert best is not None
    finder, size, train_accuracy, distances = best
    threshold = _best_threshold(target, distances)
    positive = scores[test] > 0.5
    distances = finder.decision_function(z[test])
    figures = {
        "samples": 2 * size,
        "train_accuracy": train_accuracy,
        "accuracy": float(accuracy_score(positive, distances > threshold)),
        "f1": float(f1_score(positive, distances > threshold, zero_division=0.0)),
        "roc_auc": _roc_auc(positive, distances),
        "prevalence": float(positive.mean()),
        "test_size": len(positive),
    }
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return finder.normal_, finder.bias_ - threshold, rounded


def _split(count: int) -> tuple[slice, slice, slice]:
    """Train, validation and test rows of a pool."""
    test, validation = count // 5, count // 10
    return (
        slice(0, count - test - validation),
        slice(count - test - validation, count - test),
        slice(count - test, count),
    )


def _target(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Who has the attribute; where all or none has, who has more of it than most."""
    truth = scores > 0.5
    return truth if 0 < truth.sum() < len(truth) else scores > np.median(scores)


def _roc_auc(truth: NDArray[np.bool_], distances: Float64Array) -> float:
    """ROC AUC, or 0.5 where there is but one class to tell apart."""
    return float(roc_auc_score(truth, distances)) if 0 < truth.sum() < len(truth) else 0.5


def _best_threshold(truth: NDArray[np.bool_], distances: Float64Array) -> float:
    """The threshold of best F1, or 0 where nothing is to be found."""
    if not truth.any():
        return 0.0
    precision, recall, thresholds = precision_recall_curve(truth, distances)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])


def entangled_holds(
    names: Sequence[str], normals: Float64Array, *, least: float = 0.15, most: int = 6
) -> dict[str, dict[str, float]]:
    """For each attribute the others whose boundaries lean most towards or against it.

    A first choice of ``auto`` holds from geometry alone: up to `most` attributes with an absolute
    cosine of at least `least`, each at the discount that grows with how entangled it is.
    """
    cosines = np.abs(normals @ normals.T)
    holds: dict[str, dict[str, float]] = {}
    for row, name in enumerate(names):
        order = [int(i) for i in np.argsort(-cosines[row]) if i != row][:most]
        holds[name] = {
            names[i]: round(float(1 - cosines[row, i]), 3)
            for i in order
            if least <= cosines[row, i]
        }
    return holds
