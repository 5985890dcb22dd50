"""`latentedit sample`, `edit` and `label`: the everyday commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from latentedit import defaults
from latentedit.cli.options import BoundariesOption, ModelOption, PsiOption, check_picture
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentedit.boundaries.model import Boundaries
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.recipes import EditRecipe, Hold


def sample(
    seeds: Annotated[str, typer.Option(help="Faces to show, like 0-15 or 3,7.")] = "0-15",
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write.")] = Path(
        "samples.png"
    ),
    save_latents: Annotated[
        Path | None, typer.Option(help="Write the latents too (.npy or .safetensors).")
    ] = None,
    columns: Annotated[int, typer.Option(min=1, help="Faces in a row.")] = 8,
    psi: PsiOption = None,
    model: ModelOption = None,
) -> None:
    """Show the faces of some seeds in a grid."""
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.strips import RECIPE_KEY
    from latentedit.generators import latents
    from latentedit.io.images import MAX_PIXELS, grid, save_image

    numbers = latents.parse_seeds(seeds)
    keeps = check_picture(output)
    editor = FaceEditor.load(model, psi=psi)
    most = MAX_PIXELS // editor.resolution**2
    if len(numbers) > most:
        raise LatentEditError(f"{len(numbers)} faces are too many for one picture: at most {most}")
    z = editor.sample(numbers)
    origin: dict[str, Any] = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "space": editor.space,
        "seeds": numbers,
    }
    if psi is not None:
        origin["psi"] = psi
    if save_latents:
        latents.save_latents(save_latents, z, origin)
    pictures = grid(editor.render(z), columns=columns)
    metadata = {RECIPE_KEY: json.dumps({"sample": origin})} if keeps else None
    save_image(output, pictures, metadata=metadata)
    print(f"{_faces_in_words(len(z))} in {output}{_whose(editor, model)}")


class EditCommand(TyperCommand):
    """Remembers in which order --attr, --step and --to stood; the parser alone forgets it."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.obj = [option.name for option in order if option.name in ("attr", "step", "to")]
        return super().parse_args(ctx, args)


def edit(
    context: typer.Context,
    attr: Annotated[
        list[str] | None,
        typer.Option("--attr", metavar="NAME", help="Attribute to move; may be repeated."),
    ] = None,
    step: Annotated[
        list[float] | None,
        typer.Option(
            "--step",
            metavar="NUMBER",
            help="Signed displacement in latent units, for the --attr before it.",
        ),
    ] = None,
    to: Annotated[
        list[float] | None,
        typer.Option(
            "--to",
            metavar="NUMBER",
            help="Instead of --step: signed distance from the boundary to reach.",
        ),
    ] = None,
    age: Annotated[
        float | None,
        typer.Option(metavar="YEARS", help="Instead of --attr: years to add, like +20 or -15."),
    ] = None,
    age_to: Annotated[
        float | None,
        typer.Option("--age-to", metavar="YEARS", help="Instead of --attr: the age to reach."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="One face.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several faces, like 0-7,12.")] = None,
    latents_file: Annotated[
        Path | None, typer.Option("--latents", help="Faces from a .npy, .npz, .pt or .safetensors.")
    ] = None,
    hold: Annotated[
        str, typer.Option(help="auto, all, none, or NAME[=DISCOUNT],...: what must not change.")
    ] = defaults.HOLD,
    layers: Annotated[
        str | None,
        typer.Option(help="Of a model with a latent a layer: those that move, like 0-7."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go past the range in which faces hold together.")
    ] = False,
    frames: Annotated[int, typer.Option(help="Frames of the strip.")] = defaults.FRAMES,
    output: Annotated[Path, typer.Option("-o", "--output", help="Film strip to write.")] = Path(
        "edit.png"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    boundaries: BoundariesOption = None,
    psi: PsiOption = None,
    model: ModelOption = None,
) -> None:
    """Move faces along attributes, hold others, and draw the way as a film strip."""
    from latentedit.editing.recipes import parse_hold
    from latentedit.editing.strips import edit_strip, save_strip
    from latentedit.generators.latents import parse_seeds

    ages = _ages(attr, step, to, age, age_to)
    steps, goals = ({}, {}) if ages else _moves(attr or [], step or [], to or [], context.obj)
    holds = parse_hold(hold)
    moving = None if layers is None else parse_seeds(layers, "layer")
    check_picture(output)
    editor, z, numbers = _faces(model, seed, seeds, latents_file, boundaries, psi)
    z = editor.lay_out(z, moving)
    described: dict[str, Any] = {"seeds": numbers, "frames": frames, "layers": moving, "psi": psi}
    if ages:
        recipe, notes = _aged(editor, z, ages, holds, force, described)
    else:
        recipe = editor.recipe(steps, holds, to=goals, **described)
        recipe, notes = (recipe, []) if force else _within_safe_ranges(editor, z, recipe)
    notes += _released(recipe, holds, editor.boundaries.names)
    notes += _hindered(recipe, holds, editor.boundaries)
    strip = edit_strip(editor, z, recipe)
    if not save_strip(output, strip):
        notes.append(f"{output.suffix} keeps no recipe; a .png does")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    done = {"file": str(output), **strip.summary()}
    said = f"{_faces_in_words(len(z))} in {output}{_whose(editor, model)}"
    print(json.dumps(done) if as_json else said)


def label(
    images: Annotated[list[Path], typer.Argument(help="Face pictures in the aligned frame.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    model: ModelOption = None,
) -> None:
    """Say which of the 40 attributes the faces in pictures have, and how old they look."""
    import numpy as np

    from latentedit.editing.editor import FaceEditor
    from latentedit.generators.base import SHARED_FRAME
    from latentedit.io.images import open_image, to_frame

    faces = [to_frame(open_image(path)) for path in images]
    judges = FaceEditor.load(model).judges.with_frame(SHARED_FRAME)
    rows = np.concatenate([judges.score(face[None]) for face in faces])
    ages = [float(judges.age(face[None])[0]) if judges.estimates_age else None for face in faces]
    if as_json:
        results = [
            {
                "file": str(path),
                **({} if age is None else {"age": round(age, 1)}),
                "attributes": {
                    name: round(float(p), 4) for name, p in zip(judges.attributes, row, strict=True)
                },
            }
            for path, row, age in zip(images, rows, ages, strict=True)
        ]
        print(json.dumps(results))
    else:
        _print_table(images, judges.attributes, rows, ages)


def _ages(
    attributes: list[str] | None,
    steps: list[float] | None,
    goals: list[float] | None,
    by: float | None,
    to: float | None,
) -> dict[str, float]:
    """Arguments of `search.search_age`, or nothing where attributes are moved instead."""
    from latentedit.editing.recipes import MAX_STEP

    if by is None and to is None:
        return {}
    if attributes or steps or goals:
        raise LatentEditError("--age and --age-to move Young by themselves: leave --attr out")
    if by is not None and to is not None:
        raise LatentEditError("give --age, years to add, or --age-to, the age to reach, not both")
    name, years = ("by", by) if to is None else ("to", to)
    if years is None or not -MAX_STEP <= years <= MAX_STEP:
        raise LatentEditError(f"{years} is no number of years")
    return {name: years}


def _aged(
    editor: FaceEditor,
    z: NDArray[np.float32],
    ages: Mapping[str, float],
    hold: Hold,
    force: bool,
    described: Mapping[str, Any],
) -> tuple[EditRecipe, list[str]]:
    """Search each face's step to an age; say what was reached.

    Args:
        described: of the recipe: seeds, frames and layers.
    """
    from latentedit.attributes import AGE_ATTRIBUTE
    from latentedit.editing.search import search_age

    low, high = editor.boundaries.safe_range(AGE_ATTRIBUTE) if editor.estimates_age else (0, 0)
    limits = (2 * low, 2 * high) if force else (low, high)
    layers, seeds = described["layers"], described["seeds"]
    found = search_age(editor, z, **ages, hold=hold, limits=limits, layers=layers)
    recipe = editor.recipe({AGE_ATTRIBUTE: found.steps.tolist()}, hold, **described)
    notes = []
    for index, (step, goal, before, reached) in enumerate(
        zip(found.steps, found.goals, found.before, found.reached, strict=True)
    ):
        face = f"face {index + 1}" if seeds is None else f"seed {seeds[index]}"
        near = abs(reached - goal) < 1
        end = "" if near else f", {goal:.0f} is out of reach within {limits[0]:g} to {limits[1]:g}"
        notes.append(f"{face}: {before:.0f} -> {reached:.0f} years at step {step:+.2f}{end}")
    return recipe, notes


def _released(recipe: EditRecipe, hold: Hold, known: Sequence[str]) -> list[str]:
    """Say which attributes were to be held and are not, as they move."""
    from latentedit.attributes import find_attribute

    asked = {find_attribute(name, known) for name in hold} if isinstance(hold, Mapping) else set()
    return [f"{name} moves, so it is not held" for name in recipe.edited if name in asked]


def _hindered(recipe: EditRecipe, hold: Hold, boundaries: Boundaries) -> list[str]:
    """Say of which moves what the user holds leaves little."""
    from latentedit.editing.projection import find_hindrance

    if hold in ("auto", "none"):
        return []
    notes = []
    for name, holds in recipe.holds.items():
        if found := find_hindrance(boundaries, name, holds, holds):
            left, worst = found
            notes.append(
                f"the holds leave {left:.0%} of the move along {name}, {worst} takes most: "
                "hold less of it, or auto"
            )
    return notes


def _within_safe_ranges(
    editor: FaceEditor, z: NDArray[np.float32], recipe: EditRecipe
) -> tuple[EditRecipe, list[str]]:
    """Cut an edit that would break faces short, and say so."""
    from latentedit.editing.recipes import clamp, steps_to_reach

    boundaries = editor.boundaries
    steps, notes = clamp(boundaries, recipe.steps)
    goals = recipe.to
    if goals:
        ways, stopped = clamp(boundaries, steps_to_reach(boundaries, z, recipe))
        if stopped:
            steps, goals, notes = {**steps, **ways}, {}, [*notes, *stopped]
    advice = [f"{note}; --force goes past" for note in notes]
    return replace(recipe, steps=steps, to=goals), advice


def _moves(
    attributes: list[str], steps: list[float], goals: list[float], order: list[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Steps and distances to reach, by attribute.

    Args:
        attributes: of --attr.
        steps, goals: of --step and --to.
        order: which of the three options stood where, as "attr", "step" and "to".
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


def _faces(
    model: str | None,
    seed: int | None,
    seeds: str | None,
    latents_file: Path | None,
    boundaries: Path | None,
    psi: float | None,
) -> tuple[FaceEditor, NDArray[np.float32], list[int] | None]:
    from latentedit.checkpoints.latent_files import fit_latents
    from latentedit.editing.editor import FaceEditor
    from latentedit.generators import latents

    given = [value for value in (seed, seeds, latents_file) if value is not None]
    if len(given) > 1:
        raise LatentEditError("give only one of --seed, --seeds and --latents")
    if latents_file is not None:
        editor = FaceEditor.load(model, boundaries=boundaries, psi=psi)
        z, notes = fit_latents(latents_file, editor.generator, editor.generator_hash, editor.name)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        return editor, z, None
    if seeds is not None:
        numbers = latents.parse_seeds(seeds)
    else:
        numbers = [defaults.SEED if seed is None else seed]
    editor = FaceEditor.load(model, boundaries=boundaries, psi=psi)
    return editor, editor.sample(numbers), numbers


def _whose(editor: FaceEditor, model: str | None) -> str:
    """Which model drew, where none was named, and how to get the other one."""
    from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, PULLED_BUNDLE

    if model is not None:
        return ""
    if editor.name == PULLED_BUNDLE:
        return f", by {editor.name} (smaller and faster: --model {EMBEDDED_BUNDLE})"
    return f", by {editor.name} (photographs: latentedit models pull {PULLED_BUNDLE})"


def _faces_in_words(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"


def _print_table(
    images: list[Path],
    attributes: tuple[str, ...],
    rows: NDArray[np.float32],
    ages: list[float | None],
) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from latentedit.attributes import display_name

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("attribute", no_wrap=True)
    for path in images:
        table.add_column(escape(path.name), justify="right", min_width=4, overflow="fold")
    if None not in ages:
        table.add_row("Estimated age", *[f"{age:.0f}" for age in ages], end_section=True)
    for name, column in zip(attributes, rows.T, strict=True):
        cells = [f"[bold]{p:.2f}[/bold]" if p > 0.5 else f"{p:.2f}" for p in column]
        table.add_row(display_name(name), *cells)
    Console(soft_wrap=False).print(table)
