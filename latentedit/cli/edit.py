"""`latentedit edit`: move faces along attributes; the faces come from seeds, latents or a photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from latentedit import defaults
from latentedit.cli.edit_faces import FaceSource, edit_faces
from latentedit.cli.edit_photo import (
    PhotoSource,
    asked_moves,
    edit_photo,
    in_words,
    replayed_moves,
)
from latentedit.cli.options import BoundariesOption, ModelOption, PsiOption
from latentedit.cli.photos import FaceOption, RefineOption
from latentedit.cli.plans import EditRequest, Replay
from latentedit.cli.words import faces_in_words, say, unmoved, whose
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from latentedit.cli.plans import Moves
    from latentedit.editing.outputs import Asked, Output
    from latentedit.editing.recipes import EditRecipe
    from latentedit.editing.saved import SavedRecipe

PhotoArgument = Annotated[
    Path | None,
    typer.Argument(help="A photo of yours to edit; without one, a seed's face is edited."),
]
AttrOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attr",
        metavar="NAME",
        help="Attribute to move, in CelebA's names or the page's words, like Smiling, glasses or "
        "older; may be repeated.",
    ),
]
StepOption = Annotated[
    list[float] | None,
    typer.Option(
        "--step",
        metavar="NUMBER",
        help="How far to move along the --attr before it, like 3 or -1.5, in standard "
        "deviations of latents.",
    ),
]
ToOption = Annotated[
    list[float] | None,
    typer.Option(
        "--to",
        metavar="NUMBER",
        help="Instead of --step: the signed distance from the boundary to reach; 0 is on it.",
    ),
]
AgeOption = Annotated[
    float | None,
    typer.Option(metavar="YEARS", help="Instead of --attr: years to add, like +20 or -15."),
]
AgeToOption = Annotated[
    float | None,
    typer.Option(
        "--age-to",
        metavar="YEARS",
        help="Instead of --attr: the age to reach; above 80 only with --force.",
    ),
]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE",
        help="Instead of --attr: the edit of a recipe in JSON, or of a picture or film that an "
        "edit wrote; give its photo too.",
    ),
]
SeedsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--seeds",
        "--seed",
        metavar="NUMBERS",
        help=f"The faces of seeds, like 7 or 0-7,12 [default: {defaults.SEED}].",
    ),
]
LatentsOption = Annotated[
    Path | None,
    typer.Option("--latents", help="A file of latents: .npy, .npz, .pt or .safetensors."),
]
HoldOption = Annotated[
    str | None,
    typer.Option(
        help="What must not change: auto, all, none, or NAME[=DISCOUNT],...; auto may be among the "
        f"names, like auto,Male=0.8 [default: {defaults.HOLD}]."
    ),
]
KeepOption = Annotated[
    bool | None,
    typer.Option(
        "--keep",
        help="Let the classifier look at each edited face, and bring back glasses or gender that "
        "it lost; --age does so too, except with --hold none. Takes some seconds.",
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(help="Move only these layers, like 0-7, of a model with a latent for each layer."),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Go past the safe range, in which pictures still look like faces; and write over the "
        "photo or another input if it is the output.",
    ),
]
FramesOption = Annotated[
    int | None,
    typer.Option(
        help=f"Frames of a strip or a film [default: {defaults.FRAMES}]; with a photo and a still "
        "picture, they ask for a strip."
    ),
]
FaceOnlyOption = Annotated[
    bool,
    typer.Option("--face-only", help="Save the edited face alone, not the strip or whole photo."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="A picture, a film from before to after and back (.gif, .mp4), or the edited latents "
        "(.safetensors, .npy) [default: edit.png, or NAME-edited for a photo; a number is added if "
        "that file exists].",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]


class EditCommand(TyperCommand):
    """A command that remembers the order of --attr, --step and --to; typer does not keep it."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.obj = [option.name for option in order if option.name in ("attr", "step", "to")]
        return super().parse_args(ctx, args)


def edit(
    context: typer.Context,
    photo: PhotoArgument = None,
    attr: AttrOption = None,
    step: StepOption = None,
    to: ToOption = None,
    age: AgeOption = None,
    age_to: AgeToOption = None,
    recipe: RecipeOption = None,
    seeds: SeedsOption = None,
    latents: LatentsOption = None,
    hold: HoldOption = None,
    keep: KeepOption = None,
    layers: LayersOption = None,
    force: ForceOption = False,
    face: FaceOption = None,
    refine: RefineOption = None,
    frames: FramesOption = None,
    face_only: FaceOnlyOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    boundaries: BoundariesOption = None,
    psi: PsiOption = None,
    model: ModelOption = None,
) -> None:
    """Move faces along attributes while others are held.

    A photo is written again at its own size. Other faces are drawn as a film strip, from before to
    after. The output's ending can ask for a film or for latents.
    """
    from latentedit.editing.outputs import Asked, find_output
    from latentedit.editing.saved import read_recipe
    from latentedit.io.files import check_replaces_none, check_writable

    target = output or _default_output(context, photo)
    asked = Asked(target, frames, face_only, photo is not None, force)
    wanted: EditRequest | SavedRecipe
    if recipe is None:
        held, order = defaults.HOLD if hold is None else hold, context.obj
        wanted = EditRequest.parse(
            attr,
            step,
            to,
            age,
            age_to,
            hold=held,
            layers=layers,
            force=force,
            keep=bool(keep),
            order=order,
        )
    else:
        what: dict[str, object] = {
            "--attr": attr,
            "--step": step,
            "--to": to,
            "--age": age,
            "--age-to": age_to,
        }
        what |= {"--hold": hold, "--keep": keep, "--layers": layers}
        _only_for(what, "edits that are in no recipe: leave it out, or leave out --recipe")
        wanted = read_recipe(recipe)
    kind = find_output(asked)
    check_writable(asked.path)
    inputs = {"photo": photo, "file of latents": latents, "recipe": recipe}
    inputs["file of boundaries"] = boundaries
    check_replaces_none(asked.path, inputs, force=force)
    if photo is None:
        _only_for({"--face": face, "--refine": refine}, "photos: name a photo, or leave it out")
        typed = None if seeds is None else ",".join(seeds)
        source = FaceSource(typed, latents, psi, boundaries, model)
        _edit_faces(wanted, source, asked, kind, as_json=as_json)
    else:
        others = {"--seeds": seeds, "--latents": latents, "--psi": psi}
        _only_for(others, "faces that a model draws: leave out the photo")
        chosen = PhotoSource(photo, face, refine, boundaries, model)
        _edit_photo(wanted, chosen, asked, kind, as_json=as_json)


def _edit_faces(
    wanted: EditRequest | SavedRecipe,
    source: FaceSource,
    asked: Asked,
    kind: Output,
    *,
    as_json: bool,
) -> None:
    saved = None
    if isinstance(wanted, EditRequest):
        moves: Moves = wanted
    else:
        source, saved = source.of_recipe(wanted), wanted.edits[0].recipe
        moves = Replay(saved)
    edited, notes = edit_faces(moves, source, _frames(asked, kind, saved))
    say(notes)
    say(kind.save(edited, asked))
    if edited.seen:
        say(unmoved(edited.way.wanted, edited.seen, edited.way.seeds))
    if as_json:
        print(json.dumps({"file": str(asked.path), **edited.summary()}))
    else:
        faces = faces_in_words(len(edited.z))
        print(f"{faces} in {asked.path}{whose(edited.editor, source.model)}")


def _edit_photo(
    wanted: EditRequest | SavedRecipe,
    source: PhotoSource,
    asked: Asked,
    kind: Output,
    *,
    as_json: bool,
) -> None:
    from latentedit.editing.photos import as_photograph

    opened = as_photograph(source.photo)
    saved, notes = None, []
    if isinstance(wanted, EditRequest):
        moves = asked_moves(wanted, source)
    else:
        moves, saved = replayed_moves(wanted, source), wanted.edits[0].recipe
        notes = _borrowed(wanted, source.photo)
        source = source.of_recipe(wanted)
    edited, said = edit_photo(opened, moves, source, _frames(asked, kind, saved))
    say([*notes, *said])
    say(kind.save(edited, asked))
    done = edited.summary()
    for way, face in zip(edited.ways, done["faces"], strict=True):
        say(unmoved(way.wanted, [face["probability"]]))
    if as_json:
        print(json.dumps({"file": str(asked.path), **done}))
    else:
        print(f"{in_words(done['faces'])} in {asked.path}")


def _borrowed(saved: SavedRecipe, photo: Path) -> list[str]:
    """Return a note if a recipe was made for something else than this photo."""
    if saved.of_photo and saved.photo in (None, photo.name):
        return []
    of = saved.photo if saved.of_photo else "another face"
    return [f"the recipe was made for {of}; here it edits {photo.name}"]


def _frames(asked: Asked, kind: Output, saved: EditRecipe | None) -> int:
    """Return how many frames to draw: as asked for, else as in the recipe, else the default."""
    still = asked.photo and not kind.moves  # --frames makes it a strip
    if asked.frames is not None:
        return asked.frames
    if saved is not None and (saved.frames > 2 or still):
        return saved.frames
    return 2 if still else defaults.FRAMES


def _default_output(context: typer.Context, photo: Path | None) -> Path:
    from latentedit.editing.outputs import PICTURES

    if photo is None:
        return _free(context, "edit", ".png")
    ending = photo.suffix if photo.suffix.lower() in PICTURES.endings else ".png"
    return _free(context, f"{photo.stem}-edited", ending)


def _free(context: typer.Context, stem: str, ending: str) -> Path:
    """Return a name that no file here has yet: ``edit.png``, ``edit-2.png``, ``edit-3.png`` ...

    Until the command ends, no other edit is given the same name.
    """
    from latentedit.io.locks import claimed

    for n in count(1):
        name = Path(f"{stem}{'' if n == 1 else f'-{n}'}{ending}")
        if not name.exists() and context.with_resource(claimed(name)) and not name.exists():
            return name
    raise AssertionError


def _only_for(options: Mapping[str, object], what: str) -> None:
    """Refuse options that have no meaning here.

    Args:
        options: values by option; None if the option was not given.
        what: what these options are for, and what to do.

    Raises:
        LatentEditError: an option was given.
    """
    for name, value in options.items():
        if value is not None:
            raise LatentEditError(f"{name} is for {what}")
