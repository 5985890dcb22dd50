"""How a generator's figures change along one axis: images seen in training, or truncation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import Track, no_bar
from latentedit.evaluation.generators import pictures
from latentedit.evaluation.generators.report import (
    RealFaces,
    compare_spaces,
    describe_faces,
    shrink,
)
from latentedit.io.files import read_json, write_json
from latentedit.io.images import UInt8Array
from latentedit.pretrained.hashing import weights_hash

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
    sources: Mapping[float, str] | None = None,
    track: Track = no_bar,
) -> dict[str, Any]:
    """Measure generators one by one; what the file holds already is not measured again.

    Args:
        path: JSON, written anew after each moment.
        moments: for each value on the curve's axis, a function that loads that generator.
        classifier: for its features.
        real: from `describe_real_faces`; as many samples are drawn as it has training faces.
        along: what the axis is.
        first_seed: samples are the seeds from here on.
        subject: what is measured, where `along` leaves that open; kept with the settings.
        sources: the same, where it differs by value, such as the commands of runs; kept with the
            points.

    Returns:
        ``along``, ``settings``, and ``points``: for each value the figures of `compare_spaces`
        and the sliced Wasserstein distances by level.

    Raises:
        LatentEditError: the file is no curve, or holds one of other settings, or a point of
            another source or resolution.
    """
    n = len(real.training.images)
    settings = {
        "n": n,
        "first_seed": first_seed,
        "data": real.facts,
        "classifier_hash": weights_hash(classifier),
        **(subject or {}),
    }
    edge, sources = real.reference.images.shape[1], sources or {}
    curve = _open(path, along, settings, edge, sources)
    done = {point[along] for point in curve["points"]}
    for value, load in moments.items():
        if value in done:
            continue
        images = shrink(load()(range(first_seed, first_seed + n)), edge)
        samples = describe_faces(images, classifier, track=track, title=f"{along} {value:g}")
        levels = pictures.sliced_wasserstein(real.reference.images, images, seed=0)
        curve["points"].append(
            {
                along: value,
                **({"source": sources[value]} if value in sources else {}),
                "spaces": compare_spaces(real, samples, seed=0),
                "sliced_wasserstein": levels,
            }
        )
        curve["points"].sort(key=lambda point: point[along])
        write_json(path, curve)
    return curve


def _open(
    path: str | Path,
    along: str,
    settings: Mapping[str, Any],
    edge: int,
    sources: Mapping[float, str],
) -> dict[str, Any]:
    """Begin a curve, or read one and check that the new points fit it."""
    curve: dict[str, Any] = {"along": along, "settings": settings, "points": []}
    if not Path(path).exists():
        return curve
    found = read_json(path)
    if not (isinstance(found, dict) and curve.keys() <= found.keys()) or (
        (found["along"], found["settings"]) != (along, settings)
    ):
        raise LatentEditError(f"{path} was measured with other settings: choose another file")
    for point in found["points"]:
        measured = max(int(level) for level in point["sliced_wasserstein"] if level != "mean")
        if measured != edge:
            raise LatentEditError(
                f"{path} was measured at {measured} pixels, this is {edge}: choose another file"
            )
        source = point.get("source")
        if source is not None and sources.get(point[along], source) != source:
            raise LatentEditError(
                f"{path} holds {along} {point[along]:g} of another run ({source}): choose another "
                "file"
            )
    return found
