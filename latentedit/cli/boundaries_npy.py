"""`latentedit boundaries import` and `export`: read and write InterFaceGAN's `.npy` files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit.cli.convert import Space
from latentedit.cli.invocation import command_line


def import_npy(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .npy of shape [1, D], or a .npz, .pt, .pkl.")
    ],
    name: Annotated[str, typer.Option(help="The attribute, such as Young.")],
    sign: Annotated[
        int, typer.Option(help="1 if the file points to 'has the attribute', -1 if away from it.")
    ],
    space: Annotated[Space, typer.Option(help="The latent space it was found in.")],
    model: Annotated[str, typer.Option(help="The bundle of the generator it was found for.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="File to write (.safetensors); if it exists, it is added to."
        ),
    ],
    component: Annotated[
        str | None,
        typer.Option(help="Which of several directions: its number, from 0, or its name."),
    ] = None,
) -> None:
    """Import a boundary or direction of another tool.

    It reads files of InterFaceGAN, SeFa, GANSpace and others.
    """
    from latentedit.boundaries.model import Boundaries
    from latentedit.checkpoints.boundaries_npy import (
        card_entries,
        import_boundary,
        read_direction,
    )
    from latentedit.errors import LatentEditError
    from latentedit.io.files import check_writable, read_json
    from latentedit.io.locks import claimed
    from latentedit.pretrained.bundles import find_bundle, weights_file
    from latentedit.pretrained.model import BOUNDARIES_FILE

    if output.suffix != ".safetensors":
        raise LatentEditError(f"end the name of {output} in .safetensors")
    check_writable(output)
    folder = find_bundle(model)
    card = read_json(weights_file(folder, "generator").with_suffix(".json"))
    config = card.get("config", {})
    own_space = config.get("space", "z")
    sizes = config.get("mapping")  # a generator with a mapping network has both spaces
    if own_space != space.value and sizes is None:
        raise LatentEditError(
            f"model {folder.name} has no space {space.value}, only {own_space}: give the model the "
            "boundary was found for"
        )
    style = config.get("style") or config.get("latent_dim")
    lengths = sizes if isinstance(sizes, list) else [style]
    with claimed(output, waits=True):
        known = Boundaries.load(output) if output.exists() else None
        boundaries = import_boundary(
            source,
            name,
            sign=sign,
            space=space.value,
            generator_hash=card.get("weights_hash", ""),
            latent_dim=lengths[0] if space is Space.z else lengths[-1],
            into=known,
            component=component,
        )
        earlier = read_json(output.with_suffix(".json")).get("imported_from", []) if known else []
        entries = card_entries([*earlier, source], model=folder.name)
        if known:
            boundaries.save_over(output, command_line(), entries)
        else:
            boundaries.save(output, {**entries, "commands": [command_line()]})
    print(f"{boundaries.names[-1]} in {output}, space {space.value}, for model {folder.name}")
    for note in read_direction(source, component).notes:
        print(f"note: {note}")
    if own_space != space.value and output.name == BOUNDARIES_FILE:
        print(f"note: the model is now used in space {space.value}, the space of its boundaries")


def export_npy(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Boundaries (.safetensors).")],
    name: Annotated[str, typer.Option(help="The attribute, such as Young.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, ending in .npy.")],
    sign: Annotated[
        int, typer.Option(help="-1 to let the file point away from 'has the attribute'.")
    ] = 1,
) -> None:
    """Export one boundary as InterFaceGAN reads it."""
    from latentedit.boundaries.model import Boundaries
    from latentedit.checkpoints.boundaries_npy import export_boundary

    bias = export_boundary(Boundaries.load(source), name, output, sign=sign)
    print(f"{name} in {output}")
    if abs(bias) > 1e-9:
        print(f"note: a .npy holds no bias; this boundary's is {bias:.6g}")
