"""Edits in numbers: holds, steps, distances to reach, and recipes to make them again. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import find_attribute, find_side
from latentedit.boundaries.model import Boundaries, Float64Array
from latentedit.editing.layers import check_layers, layer_numbers, mean_over_layers
from latentedit.editing.projection import Direction, discounted_direction
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED

Hold = str | Sequence[str] | Mapping[str, float]
"""What ``hold=`` accepts: "auto", "all", "none", a name, names, or {name: discount}.

"auto" and "all" mean the same among names: ("auto", "Male") holds what "auto" does, and Male.
"""

_MANY = ("auto", "all")

RECIPE_VERSION = 1
HASH_SHOWN = 8
"""Digits of a generator's hash that messages show."""

MAX_FRAMES = 120
MAX_STEP = 1000.0
"""Largest step or distance; z lies on a sphere of radius 22.6, so this is far beyond all faces."""

Value = TypeVar("Value")

Step = float | tuple[float, ...]
"""How far an edit goes, in standard deviations of the latents: one for all faces, or one a face."""


def resolve_holds(
    boundaries: Boundaries, attribute: str, edited: Sequence[str], hold: Hold
) -> dict[str, float]:
    """Return the {name: discount} that `hold` means for one edit; edited attributes are never held.

    Args:
        boundaries: known names, and the holds that "auto" stands for.
        attribute: the attribute that moves.
        edited: all attributes that move together.
        hold: see `Hold`.

    Raises:
        LatentEditError: unknown word, name or discount.
    """
    if isinstance(hold, str):
        hold = {} if hold == "none" else {hold: defaults.DISCOUNT}
    elif isinstance(hold, Sequence):
        hold = dict.fromkeys(hold, defaults.DISCOUNT)
    elif not isinstance(hold, Mapping):
        raise LatentEditError(f"cannot hold {hold!r}: give auto, all, none, names or discounts")
    holds: dict[str, float] = {}
    if "all" in hold:
        holds = dict.fromkeys(boundaries.names, defaults.DISCOUNT)
    elif "auto" in hold:
        holds = dict(boundaries.auto.get(find_attribute(attribute, boundaries.names), {}))
    holds |= _spelt(boundaries, _named(hold))
    free = {find_attribute(name, boundaries.names) for name in (attribute, *edited)}
    return {
        name: _number(discount, f"discount of {name}", 0, 1)
        for name, discount in holds.items()
        if name not in free
    }


def _named(hold: Mapping[str, float]) -> dict[str, float]:
    """Return the holds that are given by name: those besides "auto" and "all".

    Raises:
        LatentEditError: "none" among names, or "auto" or "all" with a discount.
    """
    if "none" in hold:
        raise LatentEditError("hold none, or names, not both")
    for word in _MANY:
        if word in hold and hold[word] != defaults.DISCOUNT:
            raise LatentEditError(f"{word} takes no discount: give one to each name that needs it")
    return {name: discount for name, discount in hold.items() if name not in _MANY}


def held_by_name(boundaries: Boundaries, hold: Hold) -> set[str]:
    """Return the canonical names that `hold` names: every name for "all", none for "auto".

    Raises:
        LatentEditError: see `resolve_holds`.
    """
    words = (hold,) if isinstance(hold, str) else tuple(hold)
    if "all" in words:
        return set(boundaries.names)
    names = [name for name in words if name not in ("auto", "none")]
    return {find_attribute(name, boundaries.names) for name in names}


def parse_hold(text: str) -> Hold:
    """Read a hold as typed on the command line.

    It is ``auto``, ``all``, ``none``, or ``NAME[=DISCOUNT],...``, where ``auto`` or ``all`` may
    stand among the names.

    Raises:
        LatentEditError: another syntax, a discount that is not a number, or a name given twice.
    """
    if text.strip().lower() in (*_MANY, "none"):
        return text.strip().lower()
    holds: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name.lower() in (*_MANY, "none"):
            name = name.lower()
        if name in holds:
            raise LatentEditError(f"{name} is held twice: name it once")
        try:
            holds[name] = float(value) if equals else defaults.DISCOUNT
        except ValueError:
            name = ""
        if not name:
            raise LatentEditError(
                f"cannot read hold {part!r}: write auto, all, none, NAME or NAME=DISCOUNT, "
                "say auto,Male=0.8"
            )
    _named(holds)
    return holds


def _spelt(boundaries: Boundaries, values: Mapping[str, Value]) -> dict[str, Value]:
    """The same values under canonical names."""
    return {name: value for name, (value, _) in _sided(boundaries, values).items()}


def _sided(boundaries: Boundaries, values: Mapping[str, Value]) -> dict[str, tuple[Value, int]]:
    """Return by canonical name each value, and the side (1 or -1) that its given name means."""
    spelt: dict[str, tuple[Value, int]] = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise LatentEditError(f"{name!r} is not the name of an attribute")
        known, side = find_side(name, boundaries.names)
        if known in spelt:
            raise LatentEditError(f"{known} is named twice: name it once")
        spelt[known] = value, side
    return spelt


def _moves(boundaries: Boundaries, values: Mapping[str, Any], what: str) -> dict[str, Step]:
    """Return steps, or distances to reach, by attribute; one towards ``older`` is against Young."""
    moves: dict[str, Step] = {}
    for name, (value, side) in _sided(boundaries, values).items():
        step = _step(value, f"{what} of {name}")
        if side < 0:
            step = tuple(-each for each in step) if isinstance(step, tuple) else -step
        moves[name] = step
    return moves


def _step(value: Any, label: str) -> Step:
    """Return a step as a number, or several as a tuple of numbers."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(_number(each, label) for each in value)
    return _number(value, label)


def _number(value: Any, label: str, low: float = -MAX_STEP, high: float = MAX_STEP) -> float:
    """Return `value` as a float in [low, high]; `label` says what it is."""
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if low <= number <= high:
        return float(number)
    raise LatentEditError(
        f"{label} cannot be {value!r}: give a number from {low:.10g} to {high:.10g}"
    )


@dataclass(frozen=True)
class EditRecipe:
    """Everything needed to make an edit again; stored in pictures as JSON.

    Attributes:
        model: name of the bundle.
        generator_hash: of its generator.
        seeds: of the faces, or None where latents were given.
        steps: signed displacement by attribute, in standard deviations of the latents, relative to
            each face: one number, or one for each face.
        to: instead, the signed distance from the boundary to reach, by attribute.
        holds: for each edited attribute {name: discount} of what it must not change, which may be
            another edited attribute.
        frames: frames of the film strip.
        layers: numbers of the layers that move, from 0, increasing; None for all.
        psi: truncation that the seeds were sampled with; None for the model's own.

    Raises:
        LatentEditError: no edit, an attribute edited twice or held by its own edit, a number out of
            range, or steps for another number of faces.
    """

    model: str
    generator_hash: str
    seeds: tuple[int, ...] | None
    steps: dict[str, Step]
    to: dict[str, float]
    holds: dict[str, dict[str, float]]
    frames: int = defaults.FRAMES
    layers: tuple[int, ...] | None = None
    psi: float | None = None

    def __post_init__(self) -> None:
        edited = {*self.steps, *self.to}
        if not edited:
            raise LatentEditError("no attribute to edit: name at least one")
        for name in self.steps.keys() & self.to.keys():
            raise LatentEditError(f"{name} has both a step and a distance to reach: give one")
        for name, step in self.steps.items():
            _step(step, f"step of {name}")
        counts = {len(step) for step in self.steps.values() if isinstance(step, tuple)}
        faces = counts if self.seeds is None else {*counts, len(self.seeds)}
        if counts and (len(faces) > 1 or 0 in counts):
            raise LatentEditError("steps by face must be as many as there are faces")
        for name, goal in self.to.items():
            _number(goal, f"distance of {name}")
        if self.holds.keys() != edited:
            raise LatentEditError(f"holds must be given for {', '.join(sorted(edited))}, no others")
        for attribute, held in self.holds.items():
            if attribute in held:
                raise LatentEditError(f"{attribute} is both moved and held: release it")
            for name, discount in held.items():
                _number(discount, f"discount of {name}", 0, 1)
        for seed in self.seeds or ():
            _number(seed, "a seed", 0, MAX_SEED)
        check_frames(self.frames)
        if self.layers is not None and self.layers != layer_numbers(self.layers):
            raise LatentEditError("layers must be different numbers, the lowest first")
        if self.psi is not None:
            _number(self.psi, "psi", 0, 1)

    @property
    def edited(self) -> tuple[str, ...]:
        """Names of the attributes that move."""
        return (*self.steps, *self.to)

    @property
    def balancing(self) -> frozenset[str]:
        """Names of the attributes that move only to stay as they are: another move holds them."""
        return frozenset(self.edited) & {name for held in self.holds.values() for name in held}

    @property
    def wanted(self) -> dict[str, Step]:
        """The steps without those of `balancing`."""
        return {name: step for name, step in self.steps.items() if name not in self.balancing}

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Share of the edit at each frame, float64 [frames], from 0 (the original) to 1."""
        return np.linspace(0, 1, self.frames)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, marked with the format's version."""
        values = {"latentedit": RECIPE_VERSION, **asdict(self)}
        values["seeds"] = None if self.seeds is None else list(self.seeds)
        if values.pop("layers") is not None:  # recipes without layers keep their old form
            values["layers"] = list(self.layers or ())
        if values["psi"] is None:  # the same for psi
            del values["psi"]
        return values

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_json(cls, text: str) -> EditRecipe:
        """Read `to_json`'s output, and nothing else.

        Raises:
            LatentEditError: not JSON, not a recipe, unknown or missing entries, wrong types, or
                see `EditRecipe`.
        """
        try:
            values = parse_json(text)
        except ValueError:
            raise LatentEditError("this is not an edit recipe: it is not JSON") from None
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> EditRecipe:
        """Read `as_dict`'s output, and nothing else; see `from_json`."""
        if not _is_recipe(values):
            raise LatentEditError("this is not an edit recipe that this version can read")
        values = dict(values)
        del values["latentedit"]
        seeds, steps = values.pop("seeds"), values.pop("steps")
        layers = values.pop("layers", None)
        return cls(
            **values,
            seeds=None if seeds is None else tuple(seeds),
            layers=None if layers is None else tuple(layers),
            steps={name: tuple(s) if isinstance(s, list) else s for name, s in steps.items()},
        )


def check_frames(frames: int) -> None:
    """Refuse numbers of frames that no strip or film can have.

    Raises:
        LatentEditError: fewer than 2, or more than `MAX_FRAMES`.
    """
    if not 2 <= frames <= MAX_FRAMES:
        raise LatentEditError(f"a film strip has 2 to {MAX_FRAMES} frames, not {frames}")


def parse_json(text: str) -> Any:
    """Read JSON as recipes are written: every number finite, no key twice.

    Raises:
        ValueError: anything else.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_repeats)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def check_generator(
    recipe_hash: str, maker: str, generator_hash: str, name: str = "this model"
) -> None:
    """Refuse what was made with another generator.

    Args:
        recipe_hash: of the generator that the recipe, or the picture, was made with.
        maker: name of the model with that generator.
        generator_hash: of the generator at hand.
        name: of the model at hand.

    Raises:
        LatentEditError: the hashes differ.
    """
    if recipe_hash == generator_hash:
        return
    old, new = recipe_hash[:HASH_SHOWN], generator_hash[:HASH_SHOWN]
    if maker == name:
        raise LatentEditError(
            f"the recipe was made with another {maker:.40}, of generator {old}; this "
            f"one is {new}: give the folder of the older one with --model, or make the edit anew"
        )
    raise LatentEditError(
        f"the recipe is for generator {old} ({maker:.40}), not for {new} ({name}): give the model "
        "that made it with --model"
    )


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a key is given twice")
    return entries


def _is_recipe(values: Any) -> bool:
    """Whether decoded JSON has the entries of a recipe and their types."""
    names = {"latentedit", *(entry.name for entry in fields(EditRecipe))}
    return (
        isinstance(values, dict)
        and values.keys() | {"layers", "psi"} == names
        and isinstance(values["model"], str)
        and isinstance(values["generator_hash"], str)
        and (values["seeds"] is None or isinstance(values["seeds"], list))
        and isinstance(values.get("layers", []), list)
        and isinstance(values.get("psi", 1), int | float)
        and all(type(whole) is int for whole in (values["frames"], *(values["seeds"] or ())))
        and type(values["latentedit"]) is int
        and values["latentedit"] == RECIPE_VERSION
        and all(isinstance(values[name], dict) for name in ("steps", "to", "holds"))
        and all(isinstance(held, dict) for held in values["holds"].values())
    )


def make_recipe(
    boundaries: Boundaries,
    steps: Mapping[str, float | Sequence[float]],
    hold: Hold = defaults.HOLD,
    *,
    to: Mapping[str, float] | None = None,
    seeds: Sequence[int] | None = None,
    frames: int = defaults.FRAMES,
    model: str = "unnamed",
    layers: Sequence[int] | None = None,
    psi: float | None = None,
) -> EditRecipe:
    """Describe an edit with names spelt canonically and holds resolved.

    Args:
        boundaries: known names, and the holds that "auto" stands for.
        steps: signed displacement by attribute, in standard deviations of the latents, relative to
            each face: one number, or one for each face. The page's words name attributes too: a
            step along ``older`` is a step against Young.
        hold: what must not change; see `Hold`. Attributes edited together never hold each other.
        to: instead, the signed distance from the boundary to reach, by attribute.
        seeds: of the faces, where they come from seeds.
        frames: frames of the film strip.
        model: name of the bundle.
        layers: numbers of the layers that move, from 0, in any order; all by default.
        psi: truncation that the seeds were sampled with, if it is not the model's own.

    Raises:
        LatentEditError: unknown names, or see `EditRecipe`.
    """
    moved = _moves(boundaries, steps, "step")
    goals = {
        name: _number(goal if side > 0 else -goal, f"distance of {name}")
        for name, (goal, side) in _sided(boundaries, to or {}).items()
    }
    edited = sorted({*moved, *goals})
    return EditRecipe(
        model=model,
        generator_hash=boundaries.generator_hash,
        seeds=None if seeds is None else tuple(int(seed) for seed in seeds),
        steps=moved,
        to=goals,
        holds={name: resolve_holds(boundaries, name, edited, hold) for name in edited},
        frames=frames,
        layers=None if layers is None else layer_numbers(layers),
        psi=psi,
    )


def displacement(boundaries: Boundaries, z: ArrayLike, recipe: EditRecipe) -> Float64Array:
    """Return what an edit adds to each latent: the sum of its attributes' displacements.

    Each attribute moves along its own discounted direction. Directions depend on the set of edits
    alone, so their order does not matter, to the last bit. Distances to reach are met exactly, all
    of them together and after the steps.

    Where latents have a row for each layer, all layers that the recipe names move alike; by default
    all layers do. Distances are those of the mean over these layers.

    Args:
        boundaries: of the generator that the recipe names.
        z: float [N, D], or [N, L, D]. A recipe that names layers needs the latter.
        recipe: what to do.

    Returns:
        float64, shaped as z.

    Raises:
        LatentEditError: a recipe for another generator, latents of another shape, holds that leave
            nothing of an edit, or distances that cannot be reached together.
    """
    check_generator(recipe.generator_hash, recipe.model, boundaries.generator_hash)
    given = _checked(boundaries, z, recipe)
    latents = mean_over_layers(given, recipe.layers)  # [N, D]
    directions = _directions(boundaries, recipe)
    moved = _stepped(latents, recipe, directions)
    if recipe.to:
        names = sorted(recipe.to)
        vectors = np.stack([directions[name].vector for name in names])  # [G, D]
        moved += _reach(boundaries, latents, moved, recipe.to, directions) @ vectors
    moved = boundaries.moves(moved)
    if given.ndim == 2:
        return moved
    added = np.zeros_like(given)
    added[:, slice(None) if recipe.layers is None else recipe.layers] = moved[:, None]
    return added


def steps_to_reach(boundaries: Boundaries, z: ArrayLike, recipe: EditRecipe) -> dict[str, Step]:
    """Return the steps, by attribute and face, that take each latent to a recipe's distances.

    The same recipe with these steps instead of its ``to`` makes the same edit.

    Args:
        boundaries: of the generator that the recipe names.
        z: float [N, D], or [N, L, D]; see `displacement`.
        recipe: with distances to reach.

    Raises:
        LatentEditError: see `displacement`.
    """
    latents = mean_over_layers(_checked(boundaries, z, recipe), recipe.layers)
    directions = _directions(boundaries, recipe)
    moved = _stepped(latents, recipe, directions)
    steps = _reach(boundaries, latents, moved, recipe.to, directions)
    return {
        name: tuple(column.tolist())
        for name, column in zip(sorted(recipe.to), steps.T, strict=True)
    }


def clamp(boundaries: Boundaries, steps: Mapping[str, Step]) -> tuple[dict[str, Step], list[str]]:
    """Keep steps within their attributes' safe ranges.

    Args:
        boundaries: with safe ranges, or the default one.
        steps: by attribute, one number or one a face.

    Returns:
        The steps, and one sentence for each attribute whose steps were cut short.
    """
    clamped: dict[str, Step] = {}
    notices = []
    for name, step in _moves(boundaries, steps, "step").items():
        low, high = boundaries.safe_range(name)
        wanted = np.atleast_1d(step)
        short = np.clip(wanted, low, high)
        beyond = int((short != wanted).sum())
        clamped[name] = tuple(short.tolist()) if isinstance(step, tuple) else float(short[0])
        if beyond:
            faces = f" for {beyond} of {len(wanted)} faces" if len(wanted) > 1 else ""
            notices.append(
                f"{name} stops at the end of its safe range, {low:+g} to {high:+g}{faces}"
            )
    return clamped, notices


def _checked(boundaries: Boundaries, z: ArrayLike, recipe: EditRecipe) -> Float64Array:
    latents = np.asarray(z, dtype=np.float64)
    dim = boundaries.normals.shape[1]
    if latents.ndim not in (2, 3) or latents.shape[-1] != dim:
        raise LatentEditError(f"latents must have shape [N, {dim}], got {list(latents.shape)}")
    check_layers(recipe.layers, latents.shape[1] if latents.ndim == 3 else 1)
    return latents


def _directions(boundaries: Boundaries, recipe: EditRecipe) -> dict[str, Direction]:
    return {
        name: discounted_direction(boundaries, name, recipe.holds[name])
        for name in sorted(recipe.edited)
    }


def _stepped(
    latents: Float64Array, recipe: EditRecipe, directions: Mapping[str, Direction]
) -> Float64Array:
    """Displacement by the recipe's steps, in the coordinates of the normals. [N, D]."""
    moved = np.zeros_like(latents)
    for name in sorted(recipe.steps):
        step = np.atleast_1d(recipe.steps[name])[:, None]  # [1, 1] or [N, 1]
        if len(step) not in (1, len(latents)):
            raise LatentEditError(
                f"the recipe has steps for {len(step)} faces, {len(latents)} are given"
            )
        moved += step * directions[name].vector
    return moved


def _reach(
    boundaries: Boundaries,
    latents: Float64Array,
    moved: Float64Array,
    goals: Mapping[str, float],
    directions: Mapping[str, Direction],
) -> Float64Array:
    """Steps along the goals' directions that meet all goals at once. [N, G], in sorted order.

    `moved` is added to the latents first, in the coordinates of the normals.
    """
    names = sorted(goals)
    rows = [boundaries.index(name) for name in names]
    vectors = np.stack([directions[name].vector for name in names])  # [G, D]
    spreads = boundaries.spread(boundaries.normals[rows])
    effect = boundaries.normals[rows] @ vectors.T / spreads[:, None]  # [G, G]: distance per step
    if np.linalg.cond(effect) > 1e6:
        raise LatentEditError(
            f"{' and '.join(names)} cannot be reached together: leave one out or hold fewer"
        )
    distances = boundaries.distances(latents)[:, rows]
    distances = distances + moved @ boundaries.normals[rows].T / spreads
    missing = np.array([goals[name] for name in names]) - distances
    return np.asarray(np.linalg.solve(effect, missing.T).T, dtype=np.float64)
