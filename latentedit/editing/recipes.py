"""Recipes: edits in numbers, to make them again. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.editing.holds import Hold, resolve_holds
from latentedit.editing.layers import layer_numbers
from latentedit.editing.steps import Step, read_moves, read_number, read_step, with_sides
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED, check_seeds

RECIPE_VERSION = 1
HASH_SHOWN = 8
"""Digits of a generator's hash that messages show."""

MAX_FRAMES = 120


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
            read_step(step, f"step of {name}")
        counts = {len(step) for step in self.steps.values() if isinstance(step, tuple)}
        faces = counts if self.seeds is None else {*counts, len(self.seeds)}
        if counts and (len(faces) > 1 or 0 in counts):
            raise LatentEditError("steps by face must be as many as there are faces")
        for name, goal in self.to.items():
            read_number(goal, f"distance of {name}")
        if self.holds.keys() != edited:
            raise LatentEditError(f"holds must be given for {', '.join(sorted(edited))}, no others")
        for attribute, held in self.holds.items():
            if attribute in held:
                raise LatentEditError(f"{attribute} is both moved and held: release it")
            for name, discount in held.items():
                read_number(discount, f"discount of {name}", 0, 1)
        for seed in self.seeds or ():
            read_number(seed, "a seed", 0, MAX_SEED)
        check_frames(self.frames)
        if self.layers is not None and self.layers != layer_numbers(self.layers):
            raise LatentEditError("layers must be different numbers, the lowest first")
        if self.psi is not None:
            read_number(self.psi, "psi", 0, 1)

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
    moved = read_moves(boundaries, steps)
    goals = {
        name: side * read_number(goal, f"distance of {name}")
        for name, (goal, side) in with_sides(boundaries, to or {}).items()
    }
    edited = sorted({*moved, *goals})
    return EditRecipe(
        model=model,
        generator_hash=boundaries.generator_hash,
        seeds=None if seeds is None else tuple(check_seeds(seeds)),
        steps=moved,
        to=goals,
        holds={name: resolve_holds(boundaries, name, edited, hold) for name in edited},
        frames=int(frames) if isinstance(frames, Integral) else frames,
        layers=None if layers is None else layer_numbers(layers),
        psi=psi,
    )


def check_names(boundaries: Boundaries, recipe: EditRecipe) -> None:
    """Refuse a recipe with attributes that the boundaries do not know by these very names.

    Other spellings, such as the page's words, would be read as the attribute's other side.

    Raises:
        LatentEditError: an unknown name.
    """
    held = (name for holds in recipe.holds.values() for name in holds)
    for name in (*recipe.edited, *held):
        if name not in boundaries.names:
            raise LatentEditError(f"the recipe names {name[:40]!r}, unknown to {recipe.model:.40}")


def check_frames(frames: int) -> None:
    """Refuse numbers of frames that no strip or film can have.

    Raises:
        LatentEditError: no whole number, fewer than 2, or more than `MAX_FRAMES`.
    """
    if not (isinstance(frames, Integral) and 2 <= frames <= MAX_FRAMES):
        raise LatentEditError(f"a film strip has 2 to {MAX_FRAMES} frames, not {frames}")


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


def parse_json(text: str) -> Any:
    """Read JSON as recipes are written: every number finite, no key twice.

    Raises:
        ValueError: anything else.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_repeats)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


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
