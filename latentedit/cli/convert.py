"""`latentedit convert`: turn another project's weights into a bundle."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Space(StrEnum):
    """The latent spaces that options can name."""

    z = "z"
    w = "w"


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A .pth, .pt, .pkl, .safetensors, .onnx, .xml or .whl file, or an IR's folder.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle's folder.")],
    space: Annotated[
        Space,
        typer.Option(help="For a (Mobile)StyleGAN or ONNX: the space to edit in."),
    ] = Space.z,
    truncation: Annotated[
        float, typer.Option(min=0, max=1, help="For a (Mobile)StyleGAN: psi, 1 for none.")
    ] = 1.0,
    value_range: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="BLACK WHITE", help="For an ONNX file: its values for black and white."
        ),
    ] = (-1.0, 1.0),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Read a published generator and write it as a bundle.

    No code in the file is run. Every command can load the bundle.
    """
    from latentedit.checkpoints.tensors import screen

    screen(source)  # a hostile file is refused before torch is even imported

    from latentedit.checkpoints import convert as read

    converted = read(source, space=space.value, truncation=truncation, value_range=value_range)
    converted.save(output)
    network = converted.network
    if as_json:
        size = {"resolution": network.resolution, "latent_dim": network.latent_dim}
        print(json.dumps({"bundle": str(output), **size, **converted.card["converted"]}))
        return
    print(
        f"{converted.format}, {network.resolution} x {network.resolution}, latents of length "
        f"{network.latent_dim}: {converted.keys} keys used"
    )
    for name, reason in converted.unused.items():
        print(f"not used: {name} ({reason})")
    for note in converted.notes:
        print(f"note: {note}")
    print(f"bundle in {output}")
    print(f"try: latentedit sample --model {shlex.quote(str(output))}")
