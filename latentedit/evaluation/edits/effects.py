"""Effects: the re-scoring matrix and the curves of all attributes that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.curves import (
    Curve,
    Float64Array,
    curve,
    is_measured,
    matched_leakage,
    of_one_length,
    unmeasured,
)
from latentedit.evaluation.edits.modes import MODES
from latentedit.evaluation.edits.traces import Trace
from latentedit.io.cards import load_card, save_with_card

Arrays = Mapping[str, NDArray[np.float32]]

KIND = "effects"
FILE = "effects.safetensors"
"""Name of the effects' file, beside the boundaries."""

_MAY_DIFFER = ("model", "hold_faces", "lock_faces", "surrogate_r2", "faces", "device")
"""Facts that may differ between joined effects; ``lock_faces`` is an older name of
``hold_faces``."""

_MEANS = ("probability", "absolute", "logit", "spread")
_SINGLE = ("age", "identity", "dlib")


@dataclass(frozen=True, eq=False)
class Effects:
    """The re-scoring matrix: for each attribute that moves, how all attributes change.

    Attributes:
        attributes: A attributes that were moved.
        scored: K attributes that were looked at.
        steps: float64 [S].
        modes: M kinds of holds, see `MODES`.
        means: float32 [M, A, S, K] by name: mean change of the ``probability``, mean ``absolute``
            change of it, mean change of the ``logit``, and its standard deviation (``spread``).
        single: float32 [M, A, S] by name: mean change of the estimated ``age``, mean cosine of
            ``identity`` (classifier) and of ``dlib``'s descriptor. `means` and `single` are NaN
            where not measured, such as where faces only moved away from their own side.
        curves: by mode and attribute, each face moved away from its own side.
        facts: model, networks and faces that the effects were measured on.
    """

    attributes: tuple[str, ...]
    scored: tuple[str, ...]
    steps: Float64Array
    modes: tuple[str, ...]
    means: Mapping[str, NDArray[np.float32]]
    single: Mapping[str, NDArray[np.float32]]
    curves: Mapping[str, Mapping[str, Curve]]
    facts: Mapping[str, Any]

    def matrix(self, mode: str, step: float, measure: str = "probability") -> NDArray[np.float32]:
        """Return the mean changes [A, K] of all attributes (columns) by moving each (rows)."""
        at = int(np.argmin(np.abs(self.steps - step)))
        return np.asarray(self.means[measure][self.modes.index(mode), :, at])

    def at_half(self) -> dict[str, dict[str, Any]]:
        """Return, by attribute, the share of flipped faces for comparison and the figures there.

        By mode: ``magnitude``, ``leakage``, ``identity``, ``dlib``; None where the mode was not
        measured, or does not reach the share.
        """
        rows: dict[str, dict[str, Any]] = {}
        for name in self.attributes:
            curves = {mode: self.curves[mode][name] for mode in self.modes}
            share, leakages = matched_leakage(curves)
            row: dict[str, Any] = {"share": share}
            for mode, found in curves.items():
                magnitude = found.magnitude(share)
                if magnitude is None or leakages[mode] is None:
                    row[mode] = None
                    continue
                row[mode] = {
                    "magnitude": magnitude,
                    "leakage": leakages[mode],
                    "identity": found.value(found.identity, magnitude),
                    "dlib": _or_none(found.value(found.dlib, magnitude)),
                }
            rows[name] = row
        return rows

    @property
    def faces(self) -> dict[str, int]:
        """How many faces were followed along each attribute."""
        counts = self.facts["faces"]
        if isinstance(counts, int):
            return dict.fromkeys(self.attributes, counts)
        return {name: int(counts[name]) for name in self.attributes}

    def joined(self, before: Effects) -> Effects:
        """Return these effects, together with earlier ones of further attributes.

        Args:
            before: the earlier effects. They are left out if they do not fit: if scored attributes,
                steps or ``facts`` differ. Facts in `_MAY_DIFFER` may differ, and so may modes:
                what was not measured is NaN.
        """
        if not self._goes_with(before):
            return self
        modes = [mode for mode in MODES if mode in self.modes or mode in before.modes]
        both = self._of_modes(modes)._with_attributes_of(before._of_modes(modes))
        return both._of_modes([mode for mode in modes if is_measured(both.curves[mode])])

    def _goes_with(self, before: Effects) -> bool:
        def settings(effects: Effects) -> tuple[Any, ...]:
            facts = {key: effects.facts[key] for key in effects.facts if key not in _MAY_DIFFER}
            return facts, effects.scored, effects.steps.tolist()

        return settings(self) == settings(before)

    def _of_modes(self, modes: Sequence[str]) -> Effects:
        """Return these effects with other modes; those that are new are NaN."""
        rows = [self.modes.index(mode) if mode in self.modes else -1 for mode in modes]

        def chosen(arrays: Arrays) -> Arrays:
            return {
                name: np.concatenate((values, np.full_like(values[:1], np.nan)))[rows]
                for name, values in arrays.items()
            }

        missing = dict.fromkeys(self.attributes, unmeasured(np.unique(np.abs(self.steps))))
        return replace(
            self,
            modes=tuple(modes),
            means=chosen(self.means),
            single=chosen(self.single),
            curves={mode: self.curves.get(mode, missing) for mode in modes},
        )

    def _with_attributes_of(self, before: Effects) -> Effects:
        """Return these effects and earlier ones, of the same modes; see `joined`."""
        new = [name for name in self.attributes if name not in before.attributes]
        names = (*before.attributes, *new)
        known = (*before.attributes, *self.attributes)  # for a name in both, the last row
        rows = [len(known) - 1 - known[::-1].index(name) for name in names]

        def both(ours: Arrays, theirs: Arrays) -> Arrays:
            return {
                name: np.concatenate((theirs[name], values), axis=1)[:, rows]
                for name, values in ours.items()
            }

        return replace(
            self,
            attributes=names,
            facts={**self.facts, "faces": {**before.faces, **self.faces}},
            means=both(self.means, before.means),
            single=both(self.single, before.single),
            curves={
                mode: of_one_length({**before.curves[mode], **found})
                for mode, found in self.curves.items()
            },
        )

    def save(self, path: str | Path, card: Mapping[str, Any] | None = None) -> None:
        """Write ``effects.safetensors`` and its card.

        Raises:
            LatentEditError: the path cannot be written.
        """
        tensors = {
            **{f"mean.{name}": values for name, values in self.means.items()},
            **{f"single.{name}": values for name, values in self.single.items()},
        }
        for mode, curves in self.curves.items():
            for name in Curve.__dataclass_fields__:
                rows = [getattr(curves[attribute], name) for attribute in self.attributes]
                tensors[f"curve.{mode}.{name}"] = np.stack(rows)
        entries = {
            "attributes": list(self.attributes),
            "scored": list(self.scored),
            "steps": self.steps.tolist(),
            "modes": list(self.modes),
            "facts": dict(self.facts),
            "at_half": self.at_half(),
            **(card or {}),
        }
        arrays = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
        save_with_card(Path(path), lambda file: save_file(arrays, file), KIND, entries)

    def save_beside(
        self, path: str | Path, command: str, card: Mapping[str, Any] | None = None
    ) -> None:
        """Save these effects, and keep the file's effects of further attributes, see `joined`.

        Args:
            path: where `save` wrote, or will write for the first time.
            command: added to the card's commands.
            card: further entries.

        Raises:
            LatentEditError: the file is damaged, or cannot be written.
        """
        path, whole, commands = Path(path), self, []
        if path.is_file():
            whole = self.joined(Effects.load(path))
        if whole is not self:
            commands = load_card(path, KIND).get("commands", [])
        commands = [line for line in commands if line != command]
        whole.save(path, {**(card or {}), "commands": [*commands, command]})

    @classmethod
    def load(cls, path: str | Path) -> Effects:
        """Read what `save` wrote.

        Raises:
            LatentEditError: the file is missing or damaged; the message says how to measure.
        """
        path = Path(path)
        if not path.is_file():
            raise LatentEditError(
                f"{path} does not exist: measure the effects with 'latentedit boundaries measure'"
            )
        card = load_card(path, KIND)
        try:
            tensors = load_file(path)
            attributes, modes = tuple(card["attributes"]), tuple(card["modes"])
            curves = {
                mode: {
                    name: Curve(
                        *(
                            tensors[f"curve.{mode}.{field}"][row]
                            for field in Curve.__dataclass_fields__
                        )
                    )
                    for row, name in enumerate(attributes)
                }
                for mode in modes
            }
            return cls(
                attributes,
                tuple(card["scored"]),
                np.array(card["steps"], np.float64),
                modes,
                {name: tensors[f"mean.{name}"] for name in _MEANS},
                {name: tensors[f"single.{name}"] for name in _SINGLE},
                curves,
                {"precision": defaults.PRECISION, **card["facts"]},
            )
        except (SafetensorError, KeyError, TypeError, ValueError, IndexError):
            raise LatentEditError(f"{path} is damaged: measure the effects again") from None


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def summarize(
    traces: Iterable[tuple[str, str, Trace]],
    *,
    attributes: Sequence[str],
    scored: Sequence[str],
    modes: Sequence[str],
    steps: Sequence[float],
    facts: Mapping[str, Any],
) -> Effects:
    """Make the re-scoring matrix from traces; only one of them is in memory at a time.

    Args:
        traces: (mode, attribute, trace) for every mode and attribute. Missing ones stay NaN. Traces
            that only move faces away from their own side give a curve only.
        attributes: A attributes that were moved.
        scored: K names of the classifier's outputs.
        modes: M kinds of holds.
        steps: S steps of the matrix, among those of the traces.
        facts: model, networks and faces that the effects were measured on.
    """
    shape = (len(modes), len(attributes), len(steps))
    means = {name: np.full((*shape, len(scored)), np.nan, np.float32) for name in _MEANS}
    single = {name: np.full(shape, np.nan, np.float32) for name in _SINGLE}
    curves: dict[str, dict[str, Curve]] = {mode: {} for mode in modes}
    for mode, attribute, whole in traces:
        curves[mode][attribute] = curve(whole, list(scored).index(attribute))
        if whole.is_away:
            continue
        at = modes.index(mode), list(attributes).index(attribute)
        trace = whole.at(steps)
        logits = trace.logits.astype(np.float64)
        moved = logits - logits[:, trace.start, None]
        probabilities = trace.probabilities
        change = probabilities - probabilities[:, trace.start, None]
        means["probability"][at] = change.mean(0)
        means["absolute"][at] = np.abs(change).mean(0)
        means["logit"][at] = moved.mean(0)
        means["spread"][at] = moved.std(0)
        single["age"][at] = (trace.years - trace.years[:, trace.start, None]).mean(0)
        single["identity"][at] = trace.identity.mean(0)
        single["dlib"][at] = trace.dlib.mean(0)
    for found in curves.values():
        known = next((c.magnitudes for c in found.values()), np.unique(np.abs(steps)))
        for name in attributes:
            found.setdefault(name, unmeasured(known))
    return Effects(
        tuple(attributes),
        tuple(scored),
        np.array(steps),
        tuple(modes),
        means,
        single,
        curves,
        facts,
    )


def frontier(
    effects: Effects, shares: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
) -> dict[str, dict[str, list[float | None]]]:
    """Return leakage by share of flipped faces for each kind of holds, averaged over attributes.

    At each share, the mean is over the attributes where every kind of holds reaches that share. So
    all lines average the same attributes.

    Returns:
        By mode ``shares``, ``leakage`` (None where no attribute is left) and ``attributes``, how
        many are averaged. Mode ``all`` is left out, and so are those besides ``none`` and ``auto``
        that some attributes were not compared with.
    """
    modes = [
        mode
        for mode in effects.modes
        if mode != "all"  # it seldom reaches any share
        and (mode in ("none", "auto") or is_measured(effects.curves[mode], whole=True))
    ]
    lines: dict[str, dict[str, list[float | None]]] = {
        mode: {"shares": list(shares), "leakage": [], "attributes": []} for mode in modes
    }
    for share in shares:
        found = [
            [effects.curves[mode][name].leakage_at(share) for mode in modes]
            for name in effects.attributes
        ]
        whole = [row for row in found if all(value is not None for value in row)]
        for place, mode in enumerate(modes):
            values = [value for row in whole if (value := row[place]) is not None]
            lines[mode]["leakage"].append(float(np.mean(values)) if values else None)
            lines[mode]["attributes"].append(len(values))
    return lines
