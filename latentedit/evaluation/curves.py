"""Figures of a generator along something: images seen in training, or truncation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from latentedit.classifier import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.evaluation import pictures
from latentedit.evaluation.generator import (
    RealFaces,
    Track,
    compare_spaces,
    look_at,
    no_bar,
    shrink,
)
from latentedit.files import read_json, write_json
from latentedit.hashing import weights_hash
from latentedit.images import UInt8Array

Render = Callable[[Iterable[int]], UInt8Array]
"""Seeds -> faces uint8 [N, R, R, 3]."""


def measure_curve(
    path: str | Path,
    moments: Mapping[float, Callable[[], Render]],
    classifier: AttributeClassifier,
    real: RealFaces,
    *,
    along: str,
    first_seed: int,
    subject: Mapping[str, str] | None = None,
    track: Track = no_bar,
) -> dict[str, Any]:
    """Measure generators one by one; what the file holds already is not measured again.

    Args:
        path: JSON, written anew after each moment.
        moments: by the value on the curve's axis, what loads that generator.
        classifier: for its features.
        real: from `look_at_real`; as many samples are drawn as it has training faces.
        along: what the axis is.
        first_seed: samples are the seeds from here on.
        subject: what is measured, where `along` leaves that open; kept with the settings.

    Returns:
        ``along``, ``settings``, and ``points``: for each value the figures of `compare_spaces`
        and the sliced Wasserstein distances by level.

    Raises:
        LatentEditError: the file holds a curve of other settings, or is none.
    """
    n = len(real.training.images)
    settings = {
        "n": n,
        "first_seed": first_seed,
        "data": real.facts,
        "classifier_hash": weights_hash(classifier),
        **(subject or {}),
    }
    curve: dict[str, Any] = {"along": along, "settings": settings, "points": []}
    if Path(path).exists():
        found = read_json(path)
        if not {"along", "settings", "points"} <= found.keys() or (
            (found["along"], found["settings"]) != (along, settings)
        ):
            raise LatentEditError(f"{path} was measured with other settings: choose another file")
        curve = found
    done = {point[along] for point in curve["points"]}
    for value, load in moments.items():
        if value in done:
            continue
        images = shrink(load()(range(first_seed, first_seed + n)), real.reference.images.shape[1])
        samples = look_at(images, classifier, track=track, title=f"{along} {value:g}")
        levels = pictures.sliced_wasserstein(real.reference.images, images, seed=0)
        curve["points"].append(
            {
                along: value,
                "spaces": compare_spaces(real, samples, seed=0),
                "sliced_wasserstein": levels,
            }
        )
        curve["points"].sort(key=lambda point: point[along])
        write_json(path, curve)
    return curve
