"""Searching for the steps after which faces look as old as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import AGE_ATTRIBUTE, AGEING_ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.editing.editor import FaceEditor
from latentedit.editing.holds import Hold, held_by_name, resolve_holds
from latentedit.editing.projection import discounted_direction
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.search import Float64Array, Look, find_steps, safe_steps
from latentedit.errors import LatentEditError
from latentedit.inference.judges import log_odds
from latentedit.io.images import UInt8Array

Rows = NDArray[np.int64]

Steps = Mapping[str, Float64Array]
"""Steps of N faces by attribute, [N] each."""

NEAR = 1.0
"""An age counts as reached within so many years; a further attribute has to bring more."""


@dataclass(frozen=True)
class Kept:
    """When older or younger faces lose an attribute that is to stay as it is.

    Attributes:
        sides: of the attribute that are kept: 1 where a face has it, -1 where it has it not.
        within: how far the logit of its probability may move towards the other side.
        surely: a logit this far on its own side is far enough in any case.
        lost: what is said of a face that loses it all the same.
    """

    sides: tuple[int, ...]
    within: float
    surely: float
    lost: str


KEPT = {
    "Eyeglasses": Kept((1,), 0.5, 6.0, "its glasses fade"),
    "Male": Kept((-1, 1), 1.0, 2.0, "its gender looks different"),
}
"""What older or younger faces must not lose, by attribute."""

OLDEST = 80.0
"""Faces are not aimed at more years than this: the generator has seen few older faces, and on the
way there it breaks them."""

HELP, HELPERS = 0.4, 2
"""How far attributes may go to help Young, in shares of their safe ranges, and how many may help.
Young is at the end of its own range then, and the ends of several ranges together break faces."""


@dataclass(frozen=True, eq=False)
class FoundAges:
    """What a search of ages found for N faces.

    Attributes:
        steps: by attribute, float64 [N] each: Young, further attributes that some faces need, and
            those of `KEPT` that some faces would lose.
        holds: for each of these attributes {name: discount} of what it must not change.
        goals: ages asked for, [N].
        before: estimated on the unedited faces, [N].
        reached: estimated after the steps, [N]. Where that is not the goal, the search has found
            nothing clearly nearer within its limits.
        lost: which faces lose something of `KEPT` all the same, by attribute, bool [N] each.
    """

    steps: Mapping[str, Float64Array]
    holds: Mapping[str, Mapping[str, float]]
    goals: Float64Array
    before: Float64Array
    reached: Float64Array
    lost: Mapping[str, NDArray[np.bool_]]

    @property
    def short(self) -> NDArray[np.bool_]:
        """Which faces stay more than `NEAR` years away from their goals, [N]."""
        return np.abs(self.goals - self.reached) > NEAR

    def recipe(self, editor: FaceEditor, **described: Any) -> EditRecipe:
        """Return the edit in which each face takes its own steps; see `FaceEditor.recipe`."""
        steps = {name: each.tolist() for name, each in self.steps.items()}
        return _recipe(editor, steps, self.holds, **described)


def search_age(
    editor: FaceEditor,
    z: ArrayLike,
    *,
    by: float | None = None,
    to: float | None = None,
    hold: Hold = defaults.HOLD,
    reach: float = 1.0,
    layers: Sequence[int] | None = None,
    look: Look | None = None,
) -> FoundAges:
    """Find for each face the steps at which its estimated age is as asked.

    Faces move along Young alone, where that is enough. Other faces go to the end of Young's range,
    and also along `AGEING_ATTRIBUTES`, one after the other, as far as each is needed and `HELP` and
    `HELPERS` allow. Where that is no nearer than Young alone, they stay at Young's best step. For
    all faces, older means lower steps of Young and higher steps of the others. "auto" holds none of
    these attributes; what is held by its name, or by "all", does not move. No face is aimed at more
    than `OLDEST` years. A face that would lose something of `KEPT`, such as glasses, also moves
    along it, as far as keeps it; then its age is searched once more. With no holds at all, nothing
    is kept. A face's steps do not depend on the other faces.

    Args:
        editor: with an age estimator.
        z: float [N, D], or [N, L, D].
        by: years to add to each face's own estimate.
        to: instead, the age to reach.
        hold: what must not change.
        reach: limits of the steps, as a multiple of the attributes' safe ranges. Above 1, `OLDEST`
            does not count.
        layers: those that move; see `FaceEditor.edit`.
        look: shows edits to the age estimator; by default the generator draws them. In photos,
            `PhotoEditor.looks`.

    Raises:
        LatentEditError: no age estimator, both or neither of `by` and `to`, or see
            `FaceEditor.edit`.
    """
    if not editor.estimates_age:
        raise LatentEditError(
            f"model {editor.name} has no age estimator, so it cannot aim at an age: use --attr "
            "Young --step, or a model with one"
        )
    if (by is None) == (to is None):
        raise LatentEditError("give years to add, or an age to reach")
    z = editor.lay_out(z, layers)
    look = look or (lambda latents, names: editor.render(latents, editor.judged_size))
    faces = _Faces(editor, z, look, layers, _holds(editor, hold))
    unedited = look(z, ())
    before = np.asarray(editor.age(unedited), dtype=np.float64)
    goals = before + by if by is not None else np.full(len(z), to, dtype=np.float64)
    oldest = np.maximum(before, OLDEST if reach <= 1 else np.inf)
    aims = np.minimum(goals, oldest)
    steps, reached = _aged(faces, before, aims, reach)
    own = faces.logits(unedited)
    kept, after = _kept(faces, own, steps, reach)
    rows = np.flatnonzero(np.any([np.zeros(len(z)), *kept.values()], axis=0))
    if len(rows):
        some = replace(faces.some(rows), fixed=_of(kept, rows))
        adjusted, reached[rows] = _aimed_again(some, _of(steps, rows), aims[rows], reach)
        for name, found in adjusted.items():
            steps.setdefault(name, np.zeros(len(z)))[rows] = found
        steps |= kept
        after = faces.logits(faces.seen(steps))
    lost = {name: _lost(name, logits, after[name]) for name, logits in own.items()}
    holds = {name: faces.holds[name] for name in steps}
    return FoundAges(steps, holds, goals, before, reached, lost)


@dataclass(frozen=True, eq=False)
class _Faces:
    """What the judges see of N faces after steps.

    Attributes:
        editor: see `search_age`.
        latents: of the faces, [N, ...].
        look: see `search_age`.
        layers: see `search_age`.
        holds: by name, of each attribute that may move.
        fixed: steps that the faces take in any case.
    """

    editor: FaceEditor
    latents: NDArray[np.float32]
    look: Look
    layers: Sequence[int] | None
    holds: Mapping[str, Mapping[str, float]]
    fixed: Steps = field(default_factory=dict)

    @property
    def keeps(self) -> tuple[str, ...]:
        """Names of those of `KEPT` that may move."""
        return tuple(name for name in KEPT if name in self.holds)

    def some(self, rows: Rows) -> _Faces:
        """Some of the faces."""
        return replace(self, latents=self.latents[rows], fixed=_of(self.fixed, rows))

    def seen(self, steps: Steps) -> UInt8Array:
        """Pictures of the faces, each after its own steps."""
        moves = {name: each.tolist() for name, each in {**steps, **self.fixed}.items()}
        recipe = _recipe(self.editor, moves, self.holds, layers=self.layers)
        return self.look(self.editor.apply(recipe, self.latents), recipe.edited)

    def ages(self, steps: Steps) -> Float64Array:
        """Estimated ages after steps, [N]."""
        return np.asarray(self.editor.age(self.seen(steps)), np.float64)

    def logits(self, pictures: UInt8Array) -> dict[str, Float64Array]:
        """The logits of what is kept in pictures, by the classifier: by attribute, [N] each."""
        if not self.keeps:
            return {}
        logits = log_odds(self.editor.score(pictures).astype(np.float64))
        return {name: logits[:, self.editor.attributes.index(name)] for name in self.keeps}

    def limits(self, name: str, reach: float) -> Float64Array:
        """See `safe_steps`."""
        return safe_steps(self.editor, self.latents, name, reach, layers=self.layers)


def _aged(
    faces: _Faces, before: Float64Array, goals: Float64Array, reach: float
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps by attribute that bring faces to the ages of `goals`, and ages there, [N]."""
    ends = _gaining(faces.limits(AGE_ATTRIBUTE, reach), -1, goals - before)
    alone, reached = find_steps(
        lambda own: faces.ages({AGE_ATTRIBUTE: own}), before, goals, ends, -1
    )
    steps = {AGE_ATTRIBUTE: alone}
    short = np.flatnonzero(np.abs(goals - reached) > NEAR)
    if len(short):
        low, high = ends[short].T
        far = np.where(goals[short] > before[short], low, high)
        helped, ages = _with_help(faces.some(short), far, goals[short], reach)
        better = np.abs(goals - reached)[short] - np.abs(goals[short] - ages) > NEAR
        reached[short] = np.where(better, ages, reached[short])
        for name, found in helped.items():
            unhelped = alone[short] if name == AGE_ATTRIBUTE else 0.0
            whole = steps.setdefault(name, np.zeros(len(goals)))
            whole[short] = np.where(better, found, unhelped)
        steps = {name: each for name, each in steps.items() if name == AGE_ATTRIBUTE or each.any()}
    return steps, reached


def _with_help(
    faces: _Faces, far: Float64Array, goals: Float64Array, reach: float
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps by attribute, for faces that Young alone leaves short, and ages there, [N].

    Args:
        faces: those that are short.
        far: Young's last step for each, [N].
        goals: ages, [N].
        reach: see `search_age`.
    """
    steps = {AGE_ATTRIBUTE: far}
    reached = faces.ages(steps)
    for name in faces.holds:
        missing = goals - reached
        if name not in AGEING_ATTRIBUTES or (np.abs(missing) <= NEAR).all():
            continue
        found, ages = find_steps(
            lambda own, name=name: faces.ages({**steps, name: own}),  # type: ignore[misc]
            reached,
            goals,
            _gaining(faces.limits(name, HELP * reach), 1, missing),
            1,
        )
        # every attribute changes the face more: use one only where it is needed and helps enough
        nearer = (np.abs(missing) > NEAR) & (np.abs(missing) - np.abs(goals - ages) > NEAR)
        nearer &= sum(moved != 0 for moved in steps.values()) <= HELPERS
        steps[name] = np.where(nearer, found, 0.0)
        reached = np.where(nearer, ages, reached)
    return steps, reached


def _aimed_again(
    faces: _Faces, steps: Steps, goals: Float64Array, reach: float
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps that fit the goals better where fixed steps changed the age, and ages, [N].

    Args:
        faces: with fixed steps.
        steps: that fitted without the fixed ones.
        goals: ages, [N].
        reach: see `search_age`.
    """
    reached = faces.ages(steps)
    again, ages = _aged(faces, faces.ages({}), goals, reach)
    better = np.abs(goals - reached) - np.abs(goals - ages) > NEAR
    better &= again[AGE_ATTRIBUTE] != 0  # else the fixed steps alone seem to do it, by chance
    none = np.zeros(len(goals))
    adjusted = {
        name: np.where(better, again.get(name, none), steps.get(name, none))
        for name in {**steps, **again}
    }
    return adjusted, np.where(better, ages, reached)


def _kept(
    faces: _Faces, own: Mapping[str, Float64Array], steps: Steps, reach: float
) -> tuple[dict[str, Float64Array], Mapping[str, Float64Array]]:
    """Return steps along those of `KEPT` that some faces would lose, by attribute, [N] each.

    Args:
        faces: all of them.
        own: logits before the steps, see `_Faces.logits`.
        steps: of the other attributes.
        reach: see `search_age`.

    Returns:
        The steps, and the logits after all steps.
    """
    found: dict[str, Float64Array] = {}
    after = faces.logits(faces.seen(steps)) if own else {}
    for name, logits in own.items():
        moves = _keep(faces, name, logits, after[name], {**steps, **found}, reach)
        if moves.any():
            found[name] = moves
            after = faces.logits(faces.seen({**steps, **found}))
    return found, after


def _keep(
    faces: _Faces,
    name: str,
    own: Float64Array,
    after: Float64Array,
    steps: Steps,
    reach: float,
) -> Float64Array:
    """The same for one attribute; its logits before and after the steps are `own` and `after`, [N].

    A face that has the attribute stands far along it already, and still needs the whole safe range.
    """
    rule, sides, moves = KEPT[name], _sides(own), np.zeros(len(own))
    goals = np.minimum(np.abs(own) - rule.within, rule.surely)
    rows = np.flatnonzero(np.isin(sides, rule.sides) & (sides * after < goals))
    if not len(rows):
        return moves
    some, side = replace(faces.some(rows), fixed=_of(steps, rows)), sides[rows]
    low, high = (reach * end for end in faces.editor.boundaries.safe_range(name))
    found, reached = find_steps(
        lambda moved: side * some.logits(some.seen({name: side * moved}))[name],
        side * after[rows],
        goals[rows],
        np.stack((np.zeros(len(rows)), np.where(side > 0, high, -low)), axis=1),
        1,
    )
    gains = reached - side * after[rows] > rule.within
    moves[rows] = np.where(gains, side * found, 0.0)
    return moves


def _lost(name: str, own: Float64Array, after: Float64Array) -> NDArray[np.bool_]:
    """Return which faces lose one of `KEPT`, [N]; see `_keep`."""
    sides = _sides(own)
    return np.isin(sides, KEPT[name].sides) & (sides * after < 0)


def _sides(logits: Float64Array) -> NDArray[np.int64]:
    """1 where a face has an attribute, -1 where it has not."""
    return np.where(logits > 0, 1, -1)


def _of(steps: Steps, rows: Rows) -> Steps:
    """Some faces' steps."""
    return {name: each[rows] for name, each in steps.items()}


def _holds(editor: FaceEditor, hold: Hold) -> dict[str, dict[str, float]]:
    """Return the holds of Young, of the attributes that may help it, and of those of `KEPT`."""
    boundaries = editor.boundaries
    by_name = {*held_by_name(boundaries, hold), *boundaries.rare}
    names = [name for name in AGEING_ATTRIBUTES if name in boundaries.names]
    moving = [AGE_ATTRIBUTE, *(name for name in names if name not in by_name)]
    holds = {name: resolve_holds(boundaries, name, moving, hold) for name in moving}
    if hold != "none" and editor.judges.scores:
        known = {*boundaries.names} & {*editor.attributes} - by_name
        kept = [name for name in KEPT if name in known]
        holds |= {name: resolve_holds(boundaries, name, [name], hold) for name in kept}
    return {
        name: held
        for name, held in holds.items()
        if name == AGE_ATTRIBUTE or _leave_some(boundaries, name, held)
    }


def _leave_some(boundaries: Boundaries, name: str, holds: Mapping[str, float]) -> bool:
    """Whether holds leave something of a move."""
    try:
        discounted_direction(boundaries, name, holds)
    except LatentEditError:
        return False
    return True


def _gaining(ends: Float64Array, rising: int, missing: Float64Array) -> Float64Array:
    """Return lowest and highest steps [N, 2], with 0 for the side on which a face gains nothing.

    Args:
        ends: see `safe_steps`.
        rising: 1 or -1, the sign of the steps that add years.
        missing: years to the goal, [N].
    """
    ways = np.sign(missing) * rising
    return ends * np.stack((ways < 0, ways > 0), axis=1)


def _recipe(
    editor: FaceEditor,
    steps: Mapping[str, Sequence[float]],
    holds: Mapping[str, Mapping[str, float]],
    **described: Any,
) -> EditRecipe:
    recipe = editor.recipe(steps, "none", **described)
    return replace(recipe, holds={name: dict(holds[name]) for name in recipe.edited})
