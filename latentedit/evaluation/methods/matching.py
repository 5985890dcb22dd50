"""Matching directions without names to attributes, by what they do to a few faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import observe_latents, sigmoid
from latentedit.evaluation.methods.base import Float64Array, Material, digest, moved

NEAR = 0.5
"""A direction needs this share of the strongest effect on the attribute to be chosen."""


@dataclass(frozen=True, eq=False)
class Screening:
    """What K directions do to a few faces, from a step back to the same step forth.

    Attributes:
        effects: mean change of the logits, float64 [K, A].
        changes: mean absolute change of the probabilities, float64 [K, A].
    """

    effects: Float64Array
    changes: Float64Array


def screen(material: Material, moves: Sequence[Float64Array], step: float) -> Screening:
    """Render the material's faces a step back and forth along each direction.

    Args:
        moves: what a step of 1 adds to latents, each [D] or [L, D].
        step: above 0.
    """
    z = material.editor.sample(material.seeds)
    editor = material.editor_for(moves[0])
    observe = partial(observe_latents, editor, estimate=False, size=material.size)

    def see() -> dict[str, NDArray[np.float32]]:
        seen = [[observe(moved(z, move, [end])).logits for end in (-step, step)] for move in moves]
        return {"logits": np.array(seen, np.float32)}

    name = digest("screen", step, list(material.seeds), material.size, *moves)
    low, high = material.folder.keep(f"screen-{name}", see)["logits"].swapaxes(0, 1)
    changes = np.abs(sigmoid(high) - sigmoid(low)).mean(1)
    return Screening((high - low).mean(1, dtype=np.float64), changes)


def best_match(screening: Screening, column: int) -> tuple[int, int]:
    """Return the direction for an attribute: its number, and the side (1, -1) that adds it.

    It is one of the directions with at least `NEAR` of the largest effect on the attribute's logit:
    the one that changes other attributes least, relative to this effect. A person who looks through
    film strips chooses in the same way.

    Raises:
        LatentEditError: no direction changes the attribute at all.
    """
    effects = np.abs(screening.effects[:, column])
    if not effects.max() > 0:
        raise LatentEditError("no direction changes the attribute")
    others = np.delete(screening.changes, column, axis=1)
    leaks = others.mean(1) if others.shape[1] else np.ones(len(effects))
    ratios = effects / np.maximum(leaks, 1e-9)
    ratios[effects < NEAR * effects.max()] = -1
    best = int(np.argmax(ratios))
    return best, 1 if screening.effects[best, column] > 0 else -1
