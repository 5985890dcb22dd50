"""Methods that use linear boundaries: ours, with and without holds, and InterFaceGAN's."""

from __future__ import annotations

from functools import partial

import numpy as np

from latentedit.attributes import display_name
from latentedit.editing.projection import (
    MIN_RESIDUAL,
    discounted_direction,
    discounted_projection,
)
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.modes import mode_holds
from latentedit.evaluation.methods.base import Find, Found, Material


def held(mode: str) -> Find:
    """Move along the boundary's own direction, with the holds of one of `modes.MODES`."""
    return partial(_held, mode=mode)


def _held(material: Material, attribute: str, mode: str) -> Found:
    boundaries = material.boundaries
    holds = mode_holds(boundaries, attribute, mode)
    vector = discounted_direction(boundaries, attribute, holds).vector
    words = "" if mode == "none" else f"{len(holds)} held"
    return Found(boundaries.moves(vector), words)


def conditional(count: int) -> Find:
    """InterFaceGAN's projection on `count` conditions (Shen et al. 2020, "Conditional
    Manipulation").

    As published, it takes the normals of the hyperplanes in latents as they are, not in whitened
    coordinates, and projects orthogonally. The conditions are the attributes whose logits correlate
    most with the target's in generated faces.
    """
    return partial(_conditional, count=count)


def _conditional(material: Material, attribute: str, count: int) -> Found:
    boundaries = material.boundaries
    names = correlated(material, attribute, count)
    normal, _ = boundaries.plane(attribute)
    conditions = np.array([boundaries.plane(name)[0] for name in names]).reshape(count, len(normal))
    free = discounted_projection(normal, conditions, np.ones(count))
    if np.linalg.norm(free) < MIN_RESIDUAL:
        raise LatentEditError(
            f"{attribute} lies in the span of its conditions: no direction is left"
        )
    return Found(material.scaled(free), ", ".join(display_name(name) for name in names))


def correlated(material: Material, attribute: str, count: int) -> list[str]:
    """Return the attributes with a boundary that correlate most with one, strongest first.

    The sign of a correlation does not count.

    Raises:
        LatentEditError: there are fewer than `count` others.
    """
    strength = np.abs(material.reference.correlations[material.column(attribute)])
    order = [material.editor.attributes[i] for i in np.argsort(-strength, kind="stable")]
    names = [name for name in order if name != attribute and name in material.boundaries.names]
    if len(names) < count:
        raise LatentEditError(f"there are only {len(names)} other attributes, {count} are needed")
    return names[:count]
