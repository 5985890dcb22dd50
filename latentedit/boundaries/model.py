"""Linear boundaries in latent space: what belongs to them, how they are saved and loaded.

This module imports neither torch nor scikit-learn. `latentedit.boundaries.fitting` fits boundaries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from latentedit import defaults
from latentedit.attributes import find_attribute, find_side
from latentedit.boundaries.calibration import Calibration
from latentedit.boundaries.whitening import Whitening
from latentedit.errors import LatentEditError
from latentedit.io.cards import load_card, save_with_card

Float64Array = NDArray[np.float64]

KIND = "boundaries"
_ENTRIES = (
    *("kind", "sha256", "generator_hash", "space", "attributes", "auto_holds"),
    *("safe_ranges", "calibrations", "rare", "figures"),
)
"""Entries of the card that `Boundaries.save` writes itself."""


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Boundaries of named attributes in one latent space of one generator.

    Attributes:
        names: K attribute names.
        normals: float64 [K, D], unit rows; each leads towards faces that have the attribute.
        biases: float64 [K]; ``normals @ coordinates(z) + biases`` are signed distances in those
            coordinates.
        generator_hash: the generator's `weights_hash`; other generators are refused.
        space: the latent space, ``z`` for this project's generators.
        figures: for each attribute, what was measured on held-out latents.
        auto: for each attribute, the holds ``{name: discount}`` that ``hold="auto"`` stands for.
        safe_ranges: for each measured attribute, the lowest and highest step before faces break.
        calibrations: for each measured attribute, what its steps do.
        rare: attributes that the generator shows too rarely for a boundary to be trusted.
        whitening: the coordinates of the normals; None where these are plain latents.

    Raises:
        LatentEditError: parts that do not fit together, or normals whose length is not 1.
    """

    names: tuple[str, ...]
    normals: Float64Array
    biases: Float64Array
    generator_hash: str
    space: str = "z"
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    auto: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    safe_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    rare: tuple[str, ...] = ()
    whitening: Whitening | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if (
            self.normals.ndim != 2
            or len(self.normals) != count
            or self.biases.shape != (count,)
            or len(set(self.names)) != count
        ):
            raise LatentEditError(
                f"boundaries do not fit together: {count} names, normals "
                f"{list(self.normals.shape)}, biases {list(self.biases.shape)}"
            )
        if self.whitening is not None and len(self.whitening.mean) != self.normals.shape[1]:
            raise LatentEditError("a whitening and normals do not fit together: fit them again")
        lengths = np.linalg.norm(self.normals, axis=1)
        if not np.allclose(lengths, 1, atol=1e-5) or not np.isfinite(self.biases).all():
            raise LatentEditError("boundaries are not unit normals and biases: fit them again")
        for name, holds in self.auto.items():
            if not {name, *holds} <= set(self.names) or not all(
                0 <= discount <= 1 for discount in holds.values()
            ):
                raise LatentEditError(f"auto holds of {name} are damaged: fit boundaries again")
        for name, (low, high) in self.safe_ranges.items():
            if not (np.isfinite((low, high)).all() and low <= 0 <= high and low < high):
                raise LatentEditError(f"safe range of {name} is damaged: measure it again")
        if not {*self.safe_ranges, *self.calibrations, *self.rare} <= set(self.names):
            raise LatentEditError(
                "measurements name attributes that have no boundary: fit the boundaries again"
            )

    @property
    def normals_hash(self) -> str:
        """16 hex digits that name these normals; a measurement counts only for the same normals."""
        digest = hashlib.sha256(np.ascontiguousarray(self.normals).tobytes())
        if self.whitening is not None:
            digest.update(np.ascontiguousarray(self.whitening.mean).tobytes())
            digest.update(np.ascontiguousarray(self.whitening.basis).tobytes())
            digest.update(np.ascontiguousarray(self.whitening.covariance).tobytes())
        return digest.hexdigest()[:16]

    @property
    def hash(self) -> str:
        """16 hex digits that name these boundaries and all their measurements."""
        measured = (
            self.names,
            self.biases.tolist(),
            {name: dict(holds) for name, holds in self.auto.items()},
            {name: dict(values) for name, values in self.figures.items()},
            dict(self.safe_ranges),
            {name: found.as_dict() for name, found in self.calibrations.items()},
            self.rare,
        )
        text = self.normals_hash + json.dumps(measured, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def index(self, name: str) -> int:
        """Return the row of an attribute; `attributes.find_attribute` forgives its spelling.

        Raises:
            LatentEditError: no boundary of that name.
        """
        return self.names.index(find_attribute(name, self.names))

    def distances(self, z: ArrayLike) -> Float64Array:
        """Signed distances of [N, D] latents to all boundaries, float64 [N, K].

        They are in latent units; where latents are whitened, in standard deviations of the latents.
        """
        return (self.coordinates(z) @ self.normals.T + self.biases) / self.spread(self.normals)

    @property
    def distances_of_mean(self) -> Float64Array:
        """Signed distances of the mean latent to all boundaries, float64 [K]; see `distances`.

        Where nothing is whitened, the mean is taken to be 0, as in Z.
        """
        return np.asarray(self.biases / self.spread(self.normals), dtype=np.float64)

    def coordinates(self, z: ArrayLike) -> Float64Array:
        """Latents [..., D] in the coordinates of the normals, float64."""
        if self.whitening is None:
            return np.asarray(z, dtype=np.float64)
        return self.whitening.coordinates(z)

    def spread(self, vectors: ArrayLike) -> Float64Array:
        """Length of a step along unit vectors [..., D], in the coordinates of the normals -> [...].

        It is the standard deviation of the model's latents along each vector, or 1 where nothing
        is whitened.
        """
        if self.whitening is None:
            return np.ones(np.shape(vectors)[:-1])
        return self.whitening.spread(vectors)

    def moves(self, steps: ArrayLike) -> Float64Array:
        """Displacements [..., D] in the coordinates of the normals -> those of latents, float64."""
        if self.whitening is None:
            return np.asarray(steps, dtype=np.float64)
        return self.whitening.moves(steps)

    def rebased(self, whitening: Whitening | None) -> Boundaries:
        """Return these boundaries in other coordinates.

        Whitened boundaries stay the same planes. Plain boundaries (SeFa's directions, boundaries of
        other projects) move latents straight along their normals, and go on doing so.

        Raises:
            LatentEditError: these boundaries are whitened, and `whitening` is None.
        """
        if whitening is None and self.whitening is None:
            return self
        if whitening is not None and whitening.same_as(self.whitening):
            return self
        if whitening is None:
            raise LatentEditError(
                "whitened boundaries do not go with plain ones: fit both for this model"
            )
        if self.whitening is None:
            normals = whitening.undone(self.normals)
            spreads = whitening.spread(self.normals @ whitening.basis)
            distances = (self.normals @ whitening.mean + self.biases) / spreads
            units = normals / np.linalg.norm(normals, axis=1, keepdims=True)
            moves = whitening.moves(units * whitening.spread(units)[:, None])  # of one step
            lengths = np.linalg.norm(moves, axis=1)
            measured = self._with_steps(dict(zip(self.names, lengths.tolist(), strict=True)))
            return measured._with_normals(normals, distances * whitening.spread(normals), whitening)
        plain = self.whitening.undone(self.normals)
        biases = self.biases + plain @ (whitening.mean - self.whitening.mean)
        return self._with_normals(plain @ whitening.basis, biases, whitening)

    def plane(self, name: str) -> tuple[Float64Array, float]:
        """An attribute's boundary in plain latents: unit normal [D] and bias.

        The normal leads towards what the name says: for ``older``, away from Young.

        Raises:
            LatentEditError: no boundary of that name.
        """
        name, side = find_side(name, self.names)
        row = self.index(name)
        if self.whitening is None:
            return side * self.normals[row], side * float(self.biases[row])
        normal = self.whitening.undone(self.normals[row])
        length = side * float(np.linalg.norm(normal))
        bias = float(self.biases[row]) - float(normal @ self.whitening.mean)
        return normal / length, bias / length

    def _with_steps(self, lengths: Mapping[str, float]) -> Boundaries:
        """Return the same with ranges and calibrations in steps of other lengths, by name."""
        ranges = {
            name: (low / lengths[name], high / lengths[name])
            for name, (low, high) in self.safe_ranges.items()
        }
        calibrations = {
            name: replace(known, steps=tuple(step / lengths[name] for step in known.steps))
            for name, known in self.calibrations.items()
        }
        return replace(self, safe_ranges=ranges, calibrations=calibrations)

    def _with_normals(
        self, normals: Float64Array, biases: Float64Array, whitening: Whitening
    ) -> Boundaries:
        lengths = np.linalg.norm(normals, axis=1)
        return replace(
            self,
            normals=normals / lengths[:, None],
            biases=biases / lengths,
            whitening=whitening,
        )

    def safe_range(self, name: str) -> tuple[float, float]:
        """Lowest and highest step along an attribute before faces break, low <= 0 <= high.

        `defaults.SAFE_RANGE` where nothing was measured. Steps lead towards what the name says: the
        range of ``older`` is that of Young with opposite signs.

        Raises:
            LatentEditError: no boundary of that name.
        """
        name, side = find_side(name, self.names)
        low, high = self.safe_ranges.get(name, defaults.SAFE_RANGE)
        return (low, high) if side > 0 else (-high, -low)

    def calibration(self, name: str) -> Calibration | None:
        """Return what steps along an attribute do, or None where nothing was measured.

        Steps lead towards the attribute itself: towards Young also where the name is ``older``.

        Raises:
            LatentEditError: no boundary of that name.
        """
        return self.calibrations.get(self.names[self.index(name)])

    def merged(self, other: Boundaries) -> Boundaries:
        """Return these boundaries joined with `other`, boundaries of the same generator.

        Where both have a name, the boundary of `other` is used. An attribute that holds a replaced
        one loses its safe range and calibration, because its direction has changed. A new attribute
        that was fitted alone, and not measured since, gets holds from `entangled_holds` among all
        boundaries: only here is it known which ones it leans towards.

        Raises:
            LatentEditError: they belong to another generator or latent space.
        """
        if (other.generator_hash, other.space) != (self.generator_hash, self.space):
            raise LatentEditError(
                f"boundaries of generator {other.generator_hash}, space {other.space}, do not go "
                f"with those of {self.generator_hash}, space {self.space}: fit them for this model"
            )
        other = other.rebased(self.whitening)
        kept = [row for row, name in enumerate(self.names) if name not in other.names]
        names = {self.names[row] for row in kept}

        def both(
            ours: Mapping[str, Any], theirs: Mapping[str, Any], stay: Set[str] = names
        ) -> dict[str, Any]:
            return {name: ours[name] for name in ours if name in stay} | dict(theirs)

        replaced = {*self.names} - names
        still = {name for name in names if not replaced & {*self.auto.get(name, {})}}
        everyone = (*(self.names[row] for row in kept), *other.names)
        normals = np.concatenate((self.normals[kept], other.normals))
        auto = both(self.auto, other.auto)
        alone = {name for name in other.names if other.auto.get(name) == {}}
        alone -= {*self.names, *other.calibrations}
        if alone:
            holds = entangled_holds(everyone, normals, figures=both(self.figures, other.figures))
            auto |= {name: holds[name] for name in alone}
        return Boundaries(
            names=everyone,
            normals=normals,
            biases=np.concatenate((self.biases[kept], other.biases)),
            generator_hash=self.generator_hash,
            space=self.space,
            figures=both(self.figures, other.figures),
            auto=auto,
            safe_ranges=both(self.safe_ranges, other.safe_ranges, still),
            calibrations=both(self.calibrations, other.calibrations, still),
            rare=(*(name for name in self.rare if name in names), *other.rare),
            whitening=self.whitening,
        )

    def with_measured(self, other: Boundaries, names: Collection[str]) -> Boundaries:
        """Return these boundaries with the measurements that `other` has of some attributes.

        Args:
            other: boundaries with the same names and normals.
            names: attributes whose holds, ranges, calibrations and figures are taken from `other`.

        Raises:
            LatentEditError: `other` has other names or normals.
        """
        if other.normals_hash != self.normals_hash or other.names != self.names:
            raise LatentEditError("the boundaries were fitted anew meanwhile: measure them again")

        def taken(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
            return {**ours, **{name: theirs[name] for name in names if name in theirs}}

        return replace(
            self,
            figures=taken(self.figures, other.figures),
            auto=taken(self.auto, other.auto),
            safe_ranges=taken(self.safe_ranges, other.safe_ranges),
            calibrations=taken(self.calibrations, other.calibrations),
        )

    def save(self, path: str | Path, card: Mapping[str, Any] | None = None) -> None:
        """Write ``NAME.safetensors`` and beside it the JSON card ``NAME.json``, both or neither.

        Args:
            path: ends in .safetensors.
            card: further entries of the card: data, commands, terms.

        Raises:
            LatentEditError: another ending, or the path cannot be written.
        """
        tensors = {
            "normals": np.ascontiguousarray(self.normals, dtype=np.float64),
            "biases": np.ascontiguousarray(self.biases, dtype=np.float64),
        }
        if self.whitening is not None:
            tensors |= self.whitening.tensors()
        entries = {
            "generator_hash": self.generator_hash,
            "space": self.space,
            "attributes": list(self.names),
            **(card or {}),
            "auto_holds": {name: dict(holds) for name, holds in self.auto.items()},
            "safe_ranges": {
                name: list(self.safe_ranges[name])
                for name in self.names
                if name in self.safe_ranges
            },
            "calibrations": {
                name: self.calibrations[name].as_dict()
                for name in self.names
                if name in self.calibrations
            },
            "rare": list(self.rare),
            "figures": {name: dict(values) for name, values in self.figures.items()},
        }
        save_with_card(check_path(path), lambda file: save_file(tensors, file), KIND, entries)

    def save_over(
        self, path: str | Path, command: str, entries: Mapping[str, Any] | None = None
    ) -> None:
        """Replace saved boundaries by these, which are the same ones with more measurements.

        The card's further entries stay but for new ones in `entries`, and `command` is added to its
        commands.

        Raises:
            LatentEditError: the file holds no boundaries, or the path cannot be written.
        """
        known = load_card(check_path(path), KIND)
        kept = {key: value for key, value in known.items() if key not in _ENTRIES}
        commands = [line for line in kept.get("commands", []) if line != command]
        self.save(path, {**kept, **(entries or {}), "commands": [*commands, command]})

    @classmethod
    def load(cls, path: str | Path) -> Boundaries:
        """Read what `save` wrote.

        Raises:
            LatentEditError: a file is missing, damaged or of another kind.
        """
        path = check_path(path)
        card = load_card(path, KIND)
        try:
            tensors = load_file(path)
            return cls(
                names=tuple(card["attributes"]),
                normals=tensors["normals"].astype(np.float64),
                biases=tensors["biases"].astype(np.float64),
                generator_hash=str(card["generator_hash"]),
                space=str(card["space"]),
                figures={name: dict(values) for name, values in card["figures"].items()},
                auto={name: dict(holds) for name, holds in card["auto_holds"].items()},
                safe_ranges={
                    name: (float(low), float(high))
                    for name, (low, high) in card.get("safe_ranges", {}).items()
                },
                calibrations={
                    name: Calibration.from_dict(knots)
                    for name, knots in card.get("calibrations", {}).items()
                },
                rare=tuple(card.get("rare", ())),
                whitening=Whitening.from_tensors(tensors),
            )
        except (SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
            detail = error if isinstance(error, LatentEditError) else "parts are missing"
            raise LatentEditError(
                f"{path} holds no boundaries ({detail}): fit them again"
            ) from None


def check_path(path: str | Path) -> Path:
    """Return a path that boundaries can be kept under.

    Raises:
        LatentEditError: it does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise LatentEditError(f"boundaries are kept in a .safetensors file, not {path}")
    return path


WEAK_AUC = 0.55
"""A boundary may be chance where its ROC AUC minus two standard errors is below this."""


def is_weak(figures: Mapping[str, float]) -> bool:
    """Whether a boundary's figures on held-out latents may well be chance.

    The standard error is that of Hanley and McNeil 1982, "The meaning and use of the area under a
    receiver operating characteristic (ROC) curve".
    """
    if not {"roc_auc", "prevalence", "test_size"} <= figures.keys():
        return False  # imported, or older than these figures
    auc, count = figures["roc_auc"], figures["test_size"]
    having = max(1.0, figures["prevalence"] * count)
    lacking = max(1.0, count - having)
    pairs = (having - 1) * (auc / (2 - auc) - auc**2)
    pairs += (lacking - 1) * (2 * auc**2 / (1 + auc) - auc**2)
    error = max(0.0, auc * (1 - auc) + pairs) / (having * lacking)
    return bool(auc - 2 * error**0.5 < WEAK_AUC)


def entangled_holds(
    names: Sequence[str],
    normals: Float64Array,
    *,
    least: float = 0.15,
    most: int = 6,
    figures: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, dict[str, float]]:
    """Return for each attribute the others whose boundaries lean most towards or against it.

    This is a first choice of ``auto`` holds, from geometry alone. At most `most` attributes are
    held, each with an absolute cosine of at least `least`. The discount is one minus that cosine:
    what leans most towards an attribute is held least, because a full hold would leave little of
    the direction. Boundaries that may be chance by their `figures` are not held (see `is_weak`).
    """
    weak = {name for name in names if is_weak((figures or {}).get(name, {}))}
    cosines = np.abs(normals @ normals.T)
    holds: dict[str, dict[str, float]] = {}
    for row, name in enumerate(names):
        others = (int(i) for i in np.argsort(-cosines[row]) if i != row)
        order = [i for i in others if names[i] not in weak][:most]
        holds[name] = {
            names[i]: round(float(1 - cosines[row, i]), 3)
            for i in order
            if least <= cosines[row, i]
        }
    return holds
