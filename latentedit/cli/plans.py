"""The moves of `latentedit edit`, read from its options or from a recipe, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from latentedit import defaults
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentedit.boundaries.model import Boundaries
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.holds import Hold
    from latentedit.editing.keeping import Lost
    from latentedit.editing.recipes import EditRecipe
    from latentedit.editing.saved import SavedRecipe
    from latentedit.editing.search import Look

FORCED_REACH = 2.0
"""With --force, --age and --keep may go so many times as far as the safe ranges."""


@dataclass(frozen=True)
class EditRequest:
    """An edit as the options ask for it.

    Attributes:
        steps, goals: the values of --step and --to, by attribute.
        ages: arguments of `ages.search_age`; if there are any, no attributes are moved.
        hold: what must not change.
        layers: the layers that move, or None for all.
        force: whether to go past safe ranges.
        keep: whether faces keep their glasses and gender, see `keeping.keep_faces`. With `ages`
            they do in any case.
    """

    steps: Mapping[str, float]
    goals: Mapping[str, float]
    ages: Mapping[str, float]
    hold: Hold
    layers: list[int] | None
    force: bool
    keep: bool

    @classmethod
    def parse(
        cls,
        attributes: list[str] | None,
        steps: list[float] | None,
        goals: list[float] | None,
        age: float | None,
        age_to: float | None,
        *,
        hold: str,
        layers: str | None,
        force: bool,
        keep: bool,
        order: list[str],
    ) -> Self:
        """Read the options.

        Args:
            attributes, steps, goals: the values of --attr, --step and --to.
            age, age_to: the values of --age and --age-to.
            hold, layers, force, keep: the values of these options.
            order: the order of --attr, --step and --to, see `_moves`.

        Raises:
            LatentEditError: options contradict each other, or values are out of range.
        """
        from latentedit.editing.holds import parse_hold
        from latentedit.editing.keeping import check_hold
        from latentedit.generators.latents import parse_seeds

        ages = _ages(attributes, steps, goals, age, age_to)
        moves: tuple[dict[str, float], dict[str, float]] = ({}, {})
        if not ages:
            moves = _moves(attributes or [], steps or [], goals or [], order)
        moving = None if layers is None else parse_seeds(layers, "layer")
        held = parse_hold(hold)
        if keep:
            check_hold(held)
        return cls(*moves, ages, held, moving, force, keep)

    @property
    def reach(self) -> float:
        """How far searches may go, as a multiple of the safe ranges."""
        return FORCED_REACH if self.force else 1.0

    def check(self, editor: FaceEditor) -> None:
        """Refuse names and holds that a model does not know, before long work starts."""
        from latentedit.attributes import AGE_ATTRIBUTE

        steps, goals = ({AGE_ATTRIBUTE: 1.0}, {}) if self.ages else (self.steps, self.goals)
        recipe = editor.recipe(steps, self.hold, to=goals, layers=self.layers)
        editor.apply(recipe, editor.sample([defaults.SEED]))

    def plan(
        self,
        editor: FaceEditor,
        z: NDArray[np.float32],
        look: Look | None = None,
        **described: Any,
    ) -> tuple[EditRecipe, list[str]]:
        """Return the recipe for some latents, and notes; see the function `plan`."""
        return plan(editor, z, self, look, **described)


@dataclass(frozen=True)
class Replay:
    """An edit that was made before, and is made again.

    Attributes:
        recipe: the recipe of that edit.
    """

    recipe: EditRecipe

    @property
    def layers(self) -> tuple[int, ...] | None:
        """The layers that move, or None for all."""
        return self.recipe.layers

    def check(self, editor: FaceEditor) -> None:
        """Refuse a recipe of another model, and names that the model does not know."""
        from latentedit.editing.recipes import check_generator

        recipe = self.recipe
        check_generator(
            recipe.generator_hash, recipe.model, editor.boundaries.generator_hash, editor.name
        )
        one = replace(recipe, seeds=None, steps=dict.fromkeys(recipe.steps, 1.0))
        editor.apply(one, editor.sample([defaults.SEED]))

    def plan(
        self,
        editor: FaceEditor,
        z: NDArray[np.float32],
        look: Look | None = None,
        **described: Any,
    ) -> tuple[EditRecipe, list[str]]:
        """Return the recipe for these faces, and no notes."""
        seeds = described.pop("seeds", None)
        changed = {**described, "seeds": None if seeds is None else tuple(seeds)}
        return replace(self.recipe, **changed, model=editor.name), []


def known_model(saved: SavedRecipe) -> str | None:
    """Return the model that a recipe names, if it is here; a folder that it names is never used."""
    from latentedit.pretrained.bundles import bundle_names

    name = saved.edits[0].recipe.model
    return name if name in bundle_names() else None


Moves = EditRequest | Replay
"""What an edit does to faces, independent of which faces they are."""


def plan(
    editor: FaceEditor,
    z: NDArray[np.float32],
    request: EditRequest,
    look: Look | None = None,
    **described: Any,
) -> tuple[EditRecipe, list[str]]:
    """Return the recipe of a request for some latents, and notes for the user.

    Args:
        editor: the model.
        z: latents, laid out for the request's layers.
        request: what the options ask for.
        look: see `ages.search_age`.
        described: further fields of the recipe: seeds, frames and psi.
    """
    described["layers"] = request.layers
    if request.ages:
        recipe, notes = _aged(editor, z, request, look, described)
    else:
        recipe = editor.recipe(request.steps, request.hold, to=request.goals, **described)
        recipe, notes = (recipe, []) if request.force else _within_safe_ranges(editor, z, recipe)
        if request.keep:
            recipe, lost = _kept(editor, z, recipe, request, look)
            notes += lost
    notes = [*_turned_round(request, editor.boundaries.names), *notes]
    notes += _released(recipe, request.hold, editor.boundaries)
    notes += _hindered(recipe, request.hold, editor.boundaries)
    return recipe, notes


def _ages(
    attributes: list[str] | None,
    steps: list[float] | None,
    goals: list[float] | None,
    by: float | None,
    to: float | None,
) -> dict[str, float]:
    """Return arguments of `ages.search_age`; they are empty if attributes are moved instead."""
    from latentedit.editing.steps import MAX_STEP

    if by is None and to is None:
        return {}
    if attributes or steps or goals:
        raise LatentEditError(
            "--age and --age-to choose what moves by themselves: leave --attr out"
        )
    if by is not None and to is not None:
        raise LatentEditError("give --age, years to add, or --age-to, the age to reach, not both")
    name, years = ("by", by) if to is None else ("to", to)
    if years is None or not -MAX_STEP <= years <= MAX_STEP:
        raise LatentEditError(f"cannot reach {years} years: give a number like 20 or -15")
    return {name: years}


def _aged(
    editor: FaceEditor,
    z: NDArray[np.float32],
    request: EditRequest,
    look: Look | None,
    described: Mapping[str, Any],
) -> tuple[EditRecipe, list[str]]:
    """Search each face's steps to an age; return the recipe, and notes on the ages reached.

    Args:
        described: further fields of the recipe: seeds, frames, psi and layers.
    """
    from latentedit.editing.ages import NEAR, OLDEST, search_age

    layers, seeds = described["layers"], described.get("seeds")
    found = search_age(
        editor, z, **request.ages, hold=request.hold, reach=request.reach, layers=layers, look=look
    )
    notes = []
    for index, short in enumerate(found.short):
        face = _face(seeds, index)
        before, reached = found.before[index], found.reached[index]
        moves = {name: steps[index] for name, steps in found.steps.items() if steps[index]}
        way = ", ".join(f"{name} {step:+.2f}" for name, step in moves.items()) or "no step"
        note = f"{face}: about {before:.0f} -> {reached:.0f} years at {way}"
        if short and not request.force and max(before, reached) > OLDEST - NEAR:
            note += f": faces older than {OLDEST:.0f} break; --force goes on"
        elif short:
            within = "" if request.force else " within the safe ranges; --force goes past"
            note += f": {found.goals[index]:.0f} is out of this face's reach{within}"
        notes.append("; ".join([note, *_losses(found.lost, index)]))
    return found.recipe(editor, **described), notes


def _kept(
    editor: FaceEditor,
    z: NDArray[np.float32],
    recipe: EditRecipe,
    request: EditRequest,
    look: Look | None,
) -> tuple[EditRecipe, list[str]]:
    """Let faces keep what the edit would take; return the recipe, and notes on what is lost."""
    from latentedit.editing.keeping import keep_faces

    kept, lost = keep_faces(editor, z, recipe, hold=request.hold, reach=request.reach, look=look)
    said = {_face(recipe.seeds, index): _losses(lost, index) for index in range(len(z))}
    return kept, [f"{face}: {'; '.join(losses)}" for face, losses in said.items() if losses]


def _face(seeds: Sequence[int] | None, index: int) -> str:
    """Name one of the faces."""
    return f"face {index + 1}" if seeds is None else f"seed {seeds[index]}"


def _losses(lost: Lost, index: int) -> list[str]:
    """Say what one of the faces loses."""
    from latentedit.editing.keeping import KEPT

    return [KEPT[name].lost for name, faces in lost.items() if faces[index]]


def _turned_round(request: EditRequest, known: Sequence[str]) -> list[str]:
    """Return notes on words that mean the other side of an attribute, and so move it backwards."""
    from latentedit.attributes import find_side

    notes = []
    for option, moves in (("step", request.steps), ("to", request.goals)):
        for word, value in moves.items():
            name, side = find_side(word, known)
            if side < 0:
                notes.append(f"{word} is {name} the other way round: --{option} {-value:g}")
    return notes


def _released(recipe: EditRecipe, hold: Hold, boundaries: Boundaries) -> list[str]:
    """Return notes on attributes that the user holds by name and moves: these are not held."""
    from latentedit.editing.holds import held_by_name

    asked = set() if hold == "all" else held_by_name(boundaries, hold)
    released = [name for name in recipe.edited if name not in recipe.balancing]
    return [f"{name} moves, so it is not held" for name in released if name in asked]


def _hindered(recipe: EditRecipe, hold: Hold, boundaries: Boundaries) -> list[str]:
    """Return notes on moves of which the user's holds leave little."""
    from latentedit.editing.holds import held_by_name
    from latentedit.editing.projection import find_hindrance

    if hold in ("auto", "none"):
        return []
    notes = []
    for name, holds in recipe.holds.items():
        if name in recipe.balancing:
            continue
        if found := find_hindrance(boundaries, name, holds, held_by_name(boundaries, hold)):
            left, worst = found
            notes.append(
                f"the holds leave {left:.0%} of the move along {name}, {worst} takes most: "
                "hold less of it, or auto"
            )
    return notes


def _within_safe_ranges(
    editor: FaceEditor, z: NDArray[np.float32], recipe: EditRecipe
) -> tuple[EditRecipe, list[str]]:
    """Shorten an edit that would break faces; return it with notes on what was shortened."""
    from latentedit.editing.displacement import steps_to_reach
    from latentedit.editing.steps import clamp

    boundaries = editor.boundaries
    steps, notes = clamp(boundaries, recipe.steps)
    goals = recipe.to
    if goals:
        shortened = replace(recipe, steps=steps)
        ways, stopped = clamp(boundaries, steps_to_reach(boundaries, z, shortened))
        if stopped:
            steps, goals, notes = {**steps, **ways}, {}, [*notes, *stopped]
    advice = [f"{note}; --force goes past" for note in notes]
    return replace(recipe, steps=steps, to=goals), advice


def _moves(
    attributes: list[str], steps: list[float], goals: list[float], order: list[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the steps and the distances to reach, by attribute.

    Args:
        attributes: the values of --attr.
        steps, goals: the values of --step and --to.
        order: the order in which the three options were given, as "attr", "step" and "to".

    Raises:
        LatentEditError: an attribute has no number, has two, or its number cannot be told.
    """
    if not attributes:
        raise LatentEditError(
            "nothing to edit: give --attr with --step or --to, or --age, or --age-to"
        )
    if not steps and not goals:
        raise LatentEditError("give each --attr its --step or --to")
    if steps and goals:
        kinds = order[1::2]
        if "attr" in kinds or order != [name for kind in kinds for name in ("attr", kind)]:
            raise LatentEditError(
                "write --step or --to right after its --attr: "
                "--attr Young --step -3 --attr Smiling --to 1"
            )
    else:
        kinds = ["step"] * len(steps) or ["to"] * len(goals)
        if len(kinds) != len(attributes):
            raise LatentEditError(
                f"{len(attributes)} --attr and {len(kinds)} --{kinds[0]}: "
                "give one for each attribute"
            )
    values = {"step": iter(steps), "to": iter(goals)}
    moves: dict[str, dict[str, float]] = {"step": {}, "to": {}}
    for name, kind in zip(attributes, kinds, strict=True):
        if name in moves[kind]:
            raise LatentEditError(f"{name} is named twice: name it once, with one number")
        moves[kind][name] = next(values[kind])
    return moves["step"], moves["to"]
