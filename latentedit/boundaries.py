"""Linear boundaries in latent space: finding them, keeping them, saving them. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.svm import LinearSVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from latentedit.attributes import find_attribute
from latentedit.errors import LatentEditError
from latentedit.files import atomic_path, read_json, sha256, write_json

Float64Array = NDArray[np.float64]

SHARES = (0.02, 0.05, 0.1, 0.25)
"""Shares of the pool tried as size of each class; validation chooses, attribute by attribute."""


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
        X, y = validate_data(self, X, y, dtype=np.float64)  # noqa: N806
        check_classification_targets(y)
        self.classes_, signs = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported. "
                f"The data holds {len(self.classes_)} class(es): a boundary needs two."
            )
        svm = LinearSVC(
            C=self.C,
            dual=False,
            tol=self.tol,
            max_iter=self.max_iter,
            random_state=self.random_state,
        ).fit(X, signs)
        weights = svm.coef_[0]
        length = float(np.linalg.norm(weights))
        scale = 1.0 / length if length > 0 else 1.0
        self.normal_ = weights * scale
        self.bias_ = float(svm.intercept_[0]) * scale
        self.n_iter_ = int(np.max(svm.n_iter_))
        return self

    def decision_function(self, X: ArrayLike) -> Float64Array:  # noqa: N803
        """Signed distances [N] in latent units, positive towards ``classes_[1]``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)  # noqa: N806
        return np.asarray(X @ self.normal_ + self.bias_, dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The class on whose side each latent lies, [N]."""
        return np.asarray(self.classes_[(self.decision_function(X) > 0).astype(int)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


@dataclass(frozen=True)
class Boundaries:
    """Boundaries of named attributes in one latent space of one generator.

    Attributes:
        names: K attribute names.
        normals: float64 [K, D], unit rows; towards "has the attribute".
        biases: float64 [K]; ``normals @ z + biases`` are signed distances.
        generator_hash: the generator's `weights_hash`; another one is refused.
        space: the latent space, ``z`` for this project's generators.
        figures: per attribute what was measured on held-out latents.
        auto: per attribute the holds ``{name: discount}`` that ``hold="auto"`` stands for.
    """

    names: tuple[str, ...]
    normals: Float64Array
    biases: Float64Array
    generator_hash: str
    space: str = "z"
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    auto: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.normals.shape[:1] != (len(self.names),) or self.biases.shape != (len(self.names),):
            raise LatentEditError(
                f"boundaries do not fit together: {len(self.names)} names, normals "
                f"{list(self.normals.shape)}, biases {list(self.biases.shape)}"
            )
        if not np.allclose(np.linalg.norm(self.normals, axis=1), 1, atol=1e-5):
            raise LatentEditError("boundary normals must have unit length: fit them again")

    def index(self, name: str) -> int:
        """Row of an attribute, forgiving its spelling.

        Raises:
            LatentEditError: no boundary of that name.
        """
        return self.names.index(find_attribute(name, self.names))

    def distances(self, z: ArrayLike) -> Float64Array:
        """Signed distances of [N, D] latents to all boundaries, float64 [N, K]."""
        return np.asarray(z, dtype=np.float64) @ self.normals.T + self.biases

    def save(self, path: str | Path, card: Mapping[str, Any] | None = None) -> None:
        """Write ``NAME.safetensors`` and beside it the JSON card ``NAME.json``, each atomically.

        Args:
            path: ends in .safetensors.
            card: further entries of the card: data, commands, terms.

        Raises:
            LatentEditError: another ending, or the path cannot be written.
        """
        path = _checked(path)
        with atomic_path(path) as temporary:
            save_file({"normals": self.normals, "biases": self.biases}, temporary)
        entries = {
            "kind": "boundaries",
            "sha256": sha256(path),
            "generator_hash": self.generator_hash,
            "space": self.space,
            "attributes": list(self.names),
            **(card or {}),
            "auto_holds": {name: dict(holds) for name, holds in self.auto.items()},
            "figures": {name: dict(values) for name, values in self.figures.items()},
        }
        write_json(path.with_suffix(".json"), entries)

    @classmethod
    def load(cls, path: str | Path) -> Boundaries:
        """Read what `save` wrote.

        Raises:
            LatentEditError: a file is missing, damaged or of another kind.
        """
        path = _checked(path)
        if not path.is_file():
            raise LatentEditError(
                f"{path} does not exist: make it with 'latentedit boundaries fit'"
            )
        card = read_json(path.with_suffix(".json"))
        try:
            if sha256(path) != card["sha256"]:
                raise LatentEditError(f"{path} does not match its card's checksum: fetch it again")
            with safe_open(str(path), framework="numpy") as file:
                return cls(
                    names=tuple(card["attributes"]),
                    normals=file.get_tensor("normals").astype(np.float64),
                    biases=file.get_tensor("biases").astype(np.float64),
                    generator_hash=card["generator_hash"],
                    space=card["space"],
                    figures=card["figures"],
                    auto=card["auto_holds"],
                )
        except (SafetensorError, KeyError, TypeError):
            raise LatentEditError(f"{path} holds no boundaries: fit them again") from None


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise LatentEditError(f"boundaries are kept in a .safetensors file, not {path}")
    return path


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
    if len(z) != len(scores) or scores.shape[1:] != (len(names),) or len(z) < 500:
        raise LatentEditError(
            f"cannot fit {len(names)} boundaries on latents {list(z.shape)} and scores "
            f"{list(scores.shape)}: build a pool of at least 500"
        )
    normals, biases, figures = [], [], {}
    parts = _split(len(z))
    for column, name in enumerate(names):
        finder, threshold, values = _fit_one(z, scores[:, column], *parts)
        normals.append(finder.normal_)
        biases.append(finder.bias_ - threshold)
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


def _split(count: int) -> tuple[slice, slice, slice]:
    test, validation = count // 5, count // 10
    return (
        slice(0, count - test - validation),
        slice(count - test - validation, count - test),
        slice(count - test, count),
    )


def _fit_one(
    z: NDArray[np.float32],
    scores: NDArray[np.float32],
    train: slice,
    validation: slice,
    test: slice,
) -> tuple[BoundaryFinder, float, dict[str, float]]:
    order = np.argsort(scores[train], kind="stable")
    truth = scores[validation] > 0.5
    target = truth if 0 < truth.sum() < len(truth) else scores[validation] > np.median(scores)
    best: tuple[float, BoundaryFinder, int] | None = None
    for share in SHARES:
        size = max(50, int(share * len(order)))
        rows = np.concatenate((order[:size], order[-size:]))
        labels = np.repeat((0, 1), size)
        finder = BoundaryFinder().fit(z[train][rows], labels)
        auc = float(roc_auc_score(target, finder.decision_function(z[validation])))
        if best is None or auc > best[0]:
            best = (auc, finder, size)
    assert best is not None
    _, finder, size = best
    threshold = _best_threshold(target, finder.decision_function(z[validation]))
    rows = np.concatenate((order[:size], order[-size:]))
    on_train = finder.decision_function(z[train][rows]) > 0
    distances = finder.decision_function(z[test])
    positive = scores[test] > 0.5
    both = 0 < positive.sum() < len(positive)
    return (
        finder,
        threshold,
        {
            "samples": 2 * size,
            "train_accuracy": round(float((on_train == np.repeat((False, True), size)).mean()), 4),
            "accuracy": round(float(accuracy_score(positive, distances > threshold)), 4),
            "f1": round(float(f1_score(positive, distances > threshold, zero_division=0.0)), 4),
            "roc_auc": round(float(roc_auc_score(positive, distances)), 4) if both else 0.5,
            "prevalence": round(float(positive.mean()), 4),
            "test_size": len(positive),
        },
    )


def _best_threshold(truth: NDArray[np.bool_], distances: Float64Array) -> float:
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
