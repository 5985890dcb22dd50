"""Turn views into edit recipes, and recipes and saved pictures into views."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.demo.controls import Control
from latentedit.demo.limits import shortened
from latentedit.demo.session import View, checked_steps, with_seed
from latentedit.demo.sitters import Sitter, photo_recipe
from latentedit.editing.displacement import steps_to_reach
from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import HASH_SHOWN, EditRecipe, check_names
from latentedit.errors import LatentEditError
from latentedit.photos.photograph import read_marks

MAX_RECIPE_BYTES = 16_000_000
"""Largest JSON that is read as a recipe."""


def recipe_of(editor: FaceEditor, view: View) -> EditRecipe:
    """Return the edit that a view shows: its sliders, cut short if they go too far together.

    Raises:
        LatentEditError: no slider is moved, or holds leave nothing of a move.
    """
    return shortened(editor.boundaries, asked_recipe(editor, view))


def asked_recipe(editor: FaceEditor, view: View) -> EditRecipe:
    """Return the edit that the sliders ask for, without the limit on moves together."""
    hold = "auto" if view.auto else "none"
    seeds = [view.seed] if view.photo is None else None
    recipe = editor.recipe(view.steps, hold, seeds=seeds)
    own = {name: view.strictness for name in view.held if name not in view.steps}
    given = view.given or {}
    holds = {
        # a move may hold another one of the recipe, but no slider that was moved since
        name: {
            held: g for held, g in given[name].items() if held not in view.steps or held in given
        }
        if name in given
        else {**held, **own}
        for name, held in recipe.holds.items()
    }
    return replace(recipe, holds=holds)


def origin_latents(
    editor: FaceEditor, view: View, sitter: Sitter | None = None
) -> NDArray[np.float32]:
    """Return the unedited latent of a view, float32 [1, D], or [1, L, D] for a sitter."""
    return editor.sample([view.seed]) if sitter is None else sitter.latents


def latent_of(editor: FaceEditor, view: View, sitter: Sitter | None = None) -> NDArray[np.float32]:
    """Return the latent that a view shows, float32 [1, D], or [1, L, D] for a sitter.

    Raises:
        LatentEditError: holds leave nothing of a move.
    """
    z = origin_latents(editor, view, sitter)
    return editor.apply(recipe_of(editor, view), z) if view.steps else z


def recipe_json(editor: FaceEditor, view: View, sitter: Sitter | None = None) -> str:
    """Return the JSON for saved pictures: the recipe, or the origin of an unedited face."""
    if view.steps:
        recipe = recipe_of(editor, view)
        if sitter is not None:
            return json.dumps(photo_recipe(sitter, recipe))
        return recipe.to_json()
    if sitter is not None:
        return json.dumps({"photo": sitter.upload.name or None, "edits": []})
    origin: dict[str, Any] = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "seeds": [view.seed],
    }
    origin |= {} if editor.psi is None else {"psi": editor.psi}
    return json.dumps({"sample": origin})


def carried(data: bytes) -> Any:
    """Return the JSON object that a file is or carries; None if the file has none."""
    try:
        is_json = data[:64].lstrip()[:1] == b"{"
        if is_json and len(data) > MAX_RECIPE_BYTES:
            return None
        text = data.decode("utf-8-sig") if is_json else read_marks(data).recipe
        values = json.loads(text or "null")
    except (LatentEditError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def made_with(values: Any) -> str | None:
    """Return the hash of the generator that these values name, or None."""
    if not isinstance(values, dict):
        return None
    edits = values.get("edits")
    origin = edits[0] if isinstance(edits, list) and edits else values.get("sample", values)
    found = origin.get("generator_hash") if isinstance(origin, dict) else None
    return found if isinstance(found, str) else None


def faces_of(values: Any) -> int:
    """Return how many faces a recipe or a sample has."""
    origin = values.get("sample", values) if isinstance(values, dict) else None
    seeds = origin.get("seeds") if isinstance(origin, dict) else None
    return len(seeds) if isinstance(seeds, list) else 1


def view_of(editor: FaceEditor, controls: Mapping[str, Control], data: bytes) -> View:
    """Return the view of a saved picture or a recipe; if it has several faces, of the first.

    Args:
        editor: the model that the page runs.
        controls: the model's sliders.
        data: a picture made by the page, `latentedit edit` or `sample`, or a recipe's JSON.

    Raises:
        LatentEditError: the data is something else, it is of another model, or its steps are far
            out of range.
    """
    text = _recipe_text(data)
    origin = _sample(text)
    if origin is not None:
        _check_model(editor, origin.get("generator_hash"), origin.get("model"))
        _check_psi(editor, origin.get("psi"))
        seeds = origin.get("seeds")
        if not isinstance(seeds, list) or not seeds:
            raise LatentEditError("this picture does not say which face it shows")
        return with_seed(View(0), seeds[0], keep=False)
    recipe = EditRecipe.from_json(text)
    _check_recipe(editor, recipe)
    if not recipe.seeds:
        raise LatentEditError("this edit was made of a latent file, not of a seed: use its seed")
    first = editor.sample(recipe.seeds[:1]) if recipe.to else None
    return _restored(editor, controls, View(recipe.seeds[0]), recipe, first)


def view_of_photo(
    editor: FaceEditor,
    controls: Mapping[str, Control],
    view: View,
    recipe: EditRecipe,
    sitter: Sitter,
) -> View:
    """Return the view of a sitter with the edit that a saved photo carries.

    Raises:
        LatentEditError: the edit is of another model, or its steps are far out of range.
    """
    _check_recipe(editor, recipe)
    return _restored(editor, controls, view, recipe, sitter.latents)


def _check_recipe(editor: FaceEditor, recipe: EditRecipe) -> None:
    _check_model(editor, recipe.generator_hash, recipe.model)
    if recipe.seeds is not None:
        _check_psi(editor, recipe.psi)
    if recipe.layers is not None:
        raise LatentEditError(
            "this edit moves some layers only, which the page does not show: use 'latentedit edit'"
        )
    check_names(editor.boundaries, recipe)


def _restored(
    editor: FaceEditor,
    controls: Mapping[str, Control],
    view: View,
    recipe: EditRecipe,
    latents: NDArray[np.float32] | None,
) -> View:
    """Return a view with a recipe's steps and holds."""
    steps = checked_steps(_steps(editor, recipe, latents), controls)
    return _with_holds(editor, controls, replace(view, steps=steps), recipe)


def _recipe_text(data: bytes) -> str:
    """Return the JSON that a file is or carries; pictures and films are not decoded."""
    with suppress(LatentEditError, UnicodeDecodeError):
        if data.lstrip()[:1] != b"{":
            if recipe := read_marks(data).recipe:
                return recipe
        elif len(data) <= MAX_RECIPE_BYTES:
            return data.decode("utf-8-sig")
    raise LatentEditError(
        "this is neither a picture or film with a recipe nor a recipe's JSON: open a file that "
        "was saved here"
    )


def _sample(text: str) -> dict[str, Any] | None:
    """Return the origin of an unedited picture, or None if the text is something else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or values.keys() != {"sample"}:
        return None
    return values["sample"] if isinstance(values["sample"], dict) else {}


def _check_model(editor: FaceEditor, generator_hash: Any, model: Any) -> None:
    if generator_hash == editor.generator_hash:
        return
    if model == editor.name:
        raise LatentEditError(
            f"this was made with another version of {editor.name}, of generator "
            f"{str(generator_hash)[:HASH_SHOWN]}, and the page's is "
            f"{editor.generator_hash[:HASH_SHOWN]}: make the edit again here"
        )
    raise LatentEditError(
        f"this was made with another model, {str(model)[:40]}, and the page runs {editor.name}: "
        f"start it with 'latentedit demo --model {str(model)[:40]}'"
    )


def _check_psi(editor: FaceEditor, psi: Any) -> None:
    """Refuse a face that was sampled with another psi than the page's; None is the model's own."""
    if psi is None:
        psi = editor.own_psi
    if not isinstance(psi, int | float):
        raise LatentEditError("the psi of this face is not a number: make the picture again")
    if psi != editor.generator.truncation:
        raise LatentEditError(
            f"this face was sampled with psi {psi:g}: start the page with "
            f"'latentedit demo --psi {psi:g}'"
        )


def _steps(
    editor: FaceEditor, recipe: EditRecipe, latents: NDArray[np.float32] | None
) -> dict[str, float]:
    """Return the first face's edit as steps; distances to reach are turned into steps."""
    steps = {name: np.ravel(step)[0].item() for name, step in recipe.steps.items()}
    if recipe.to and latents is not None:
        seeds = None if recipe.seeds is None else recipe.seeds[:1]
        first = replace(recipe, seeds=seeds, steps=steps)
        reaching = steps_to_reach(editor.boundaries, latents, first)
        steps |= {name: np.ravel(step)[0].item() for name, step in reaching.items()}
    return steps


def _with_holds(
    editor: FaceEditor, controls: Mapping[str, Control], view: View, recipe: EditRecipe
) -> View:
    """Return the view with the recipe's holds: in `held` if they fit exactly, else in `given`."""
    if not view.steps:  # all its steps are 0
        return view
    for auto in (True, False):
        plain = asked_recipe(editor, replace(view, auto=auto)).holds
        extra = {
            held: discount
            for name, holds in recipe.holds.items()
            for held, discount in holds.items()
            if name in plain and plain[name].get(held) != discount
        }
        if len(set(extra.values())) > 1:
            continue
        restored = replace(
            view,
            auto=auto,
            held=tuple(name for name in controls if name in extra),
            strictness=next(iter(extra.values()), 1.0),
        )
        if asked_recipe(editor, restored).holds == recipe.holds:
            return restored
    return replace(view, given={name: recipe.holds[name] for name in plain})
