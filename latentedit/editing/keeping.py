"""Keeping what an edit takes from single faces, such as their glasses.

Holds are the same for all faces, and right in the mean. Here each face is looked at after its edit;
where it lost something, it also moves along that attribute, as far as brings it back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.editing.displacement import steps_to_reach
from latentedit.editing.editor import FaceEditor
from latentedit.editing.holds import Hold, resolve_holds
from latentedit.editing.projection import discounted_direction
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.search import Float64Array, Look, find_enough
from latentedit.editing.steps import step_by_face
from latentedit.editing.watched import Rows, Steps, WatchedFaces, recipe_of, rows_of
from latentedit.errors import LatentEditError


@dataclass(frozen=True)
class Kept:
    """When faces lose an attribute that is to stay as it is.

    Attributes:
        sides: of the attribute that are kept: 1 where a face has it, -1 where it has it not.
        within: how far the logit of its probability may move towards the other side; it stays on
            its own side.
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
"""What faces must not lose, by attribute."""

NEAREST = 0.25
"""How far on its own side a logit stays at least, if it was near the other side before."""

Lost = Mapping[str, NDArray[np.bool_]]
"""Which of N faces lose something of `KEPT`, by attribute, bool [N] each."""


def keep_faces(
    editor: FaceEditor,
    z: ArrayLike,
    recipe: EditRecipe,
    *,
    hold: Hold = defaults.HOLD,
    reach: float = 1.0,
    look: Look | None = None,
) -> tuple[EditRecipe, Lost]:
    """Extend an edit by the steps along `KEPT` that single faces need to stay who they are.

    What the edit moves by itself is not kept. A face's steps do not depend on the other faces.

    Args:
        editor: with a classifier.
        z: float [N, D], or [N, L, D].
        recipe: the edit.
        hold: what the added moves must not change, as in the edit itself.
        reach: how far a face may go to keep something, as a multiple of the safe range.
        look: shows edits to the classifier; see `WatchedFaces`.

    Returns:
        The extended recipe, in which distances to reach have become steps, and which faces lose
        something all the same.

    Raises:
        LatentEditError: `hold` is "none", the model has no classifier or knows nothing of `KEPT`,
            or see `FaceEditor.apply`.
    """
    check_hold(hold)
    known = keepable(editor, hold)
    if not known:
        raise LatentEditError(
            f"model {editor.name} cannot keep {' or '.join(KEPT)}: it needs a classifier and "
            "boundaries of them"
        )
    z = editor.lay_out(z, recipe.layers)
    ways = steps_to_reach(editor.boundaries, z, recipe) if recipe.to else {}
    steps = {name: step_by_face(step, len(z)) for name, step in {**recipe.steps, **ways}.items()}
    names = [name for name in known if name not in recipe.edited]
    holds = {**{name: known[name] for name in names}, **recipe.holds}
    faces = WatchedFaces(editor, z, look, recipe.layers, holds)
    own = faces.logits(faces.unedited(), names)
    found, after = keep(faces, own, steps, reach)
    moves = {name: each.tolist() for name, each in {**steps, **found}.items()}
    # a discount of 0 changes no direction; it marks what moves only to stay as it is
    marked = {name: dict.fromkeys(found, 0.0) | held for name, held in recipe.holds.items()}
    kept = recipe_of(editor, moves, holds | marked, layers=recipe.layers)
    kept = replace(kept, seeds=recipe.seeds, frames=recipe.frames, psi=recipe.psi)
    return kept, which_lost(own, after)


def check_hold(hold: Hold) -> None:
    """Refuse to keep faces by moves that hold nothing.

    Raises:
        LatentEditError: `hold` is "none".
    """
    if hold == "none":
        raise LatentEditError("keep needs holds: leave out hold none, or leave out keep")


def keepable(
    editor: FaceEditor, hold: Hold, besides: Collection[str] = ()
) -> dict[str, dict[str, float]]:
    """Return those of `KEPT` that faces can be moved along, each with what that move holds.

    Args:
        editor: with boundaries.
        hold: what a move must not change.
        besides: names that must not move.
    """
    boundaries = editor.boundaries
    if not editor.judges.scores:
        return {}
    known = {*boundaries.names} & {*editor.attributes} - {*besides, *boundaries.rare}
    holds = {name: resolve_holds(boundaries, name, [name], hold) for name in KEPT if name in known}
    return {name: held for name, held in holds.items() if leaves_some(boundaries, name, held)}


def leaves_some(boundaries: Boundaries, name: str, holds: Mapping[str, float]) -> bool:
    """Whether holds leave something of a move."""
    try:
        discounted_direction(boundaries, name, holds)
    except LatentEditError:
        return False
    return True


def keep(
    faces: WatchedFaces, own: Mapping[str, Float64Array], steps: Steps, reach: float
) -> tuple[dict[str, Float64Array], Mapping[str, Float64Array]]:
    """Return steps along those of `KEPT` that some faces would lose, by attribute, [N] each.

    Args:
        faces: all of them.
        own: the logits of what is kept before the steps, by attribute, [N] each.
        steps: of the other attributes.
        reach: see `keep_faces`.

    Returns:
        The steps, and the logits after all steps.
    """
    names = tuple(own)
    found: dict[str, Float64Array] = {}
    after = faces.logits(faces.seen(steps), names) if own else {}
    for name, logits in own.items():
        moves = _keep_one(faces, name, logits, after[name], {**steps, **found}, reach)
        if len(rows := np.flatnonzero(moves)):
            found[name] = moves
            moved = faces.some(rows)
            again = moved.logits(moved.seen(rows_of({**steps, **found}, rows)), names)
            for other, values in again.items():
                after[other][rows] = values
    return found, after


def _keep_one(
    faces: WatchedFaces,
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
    goals = np.clip(np.abs(own) - rule.within, NEAREST, rule.surely)
    rows = np.flatnonzero(np.isin(sides, rule.sides) & (sides * after < goals))
    if not len(rows):
        return moves
    some, side = replace(faces.some(rows), fixed=rows_of(steps, rows)), sides[rows]
    low, high = (reach * end for end in faces.editor.boundaries.safe_range(name))

    def logits(moved: Float64Array, few: Rows) -> Float64Array:
        watched = some.some(few)
        return side[few] * watched.logits(watched.seen({name: side[few] * moved}), [name])[name]

    found, reached = find_enough(
        logits, side * after[rows], goals[rows], np.where(side > 0, high, -low), NEAREST
    )
    gains = reached - side * after[rows] > rule.within
    gains |= (side * after[rows] < 0) & (reached > 0)
    moves[rows] = np.where(gains, side * found, 0.0)
    return moves


def which_lost(own: Mapping[str, Float64Array], after: Mapping[str, Float64Array]) -> Lost:
    """Return which faces lose something of `KEPT`; `own` and `after` are logits, [N] each."""
    return {
        name: np.isin(_sides(logits), KEPT[name].sides) & (_sides(logits) * after[name] < 0)
        for name, logits in own.items()
    }


def _sides(logits: Float64Array) -> NDArray[np.int64]:
    """1 where a face has an attribute, -1 where it has not."""
    return np.where(logits > 0, 1, -1)
