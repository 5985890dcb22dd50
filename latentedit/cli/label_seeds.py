"""`latentedit label-seeds`: label faces for a user's own attribute, one after the other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.options import BrowserOption, HostOption, ModelOption
from latentedit.errors import LatentEditError


def label_seeds(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The .csv to write; if it exists, it is continued."),
    ],
    name: Annotated[
        str, typer.Option("--name", help="What the attribute is called, such as wink.")
    ],
    n: Annotated[
        int,
        typer.Option(
            "--n", min=defaults.LABELS, help="How many labels are enough; then the page says so."
        ),
    ] = defaults.LABELS,
    at_random: Annotated[
        bool,
        typer.Option(
            "--random", help="Show only random faces, not those that a quick fit is unsure of."
        ),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Edge of a face in pixels: more show small things better, and take longer to draw "
            f"[default: {defaults.LABELS_SIZE}, or what the model draws].",
        ),
    ] = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port [default: the first free one from 7870]"),
    ] = None,
    open_browser: BrowserOption = True,
    model: ModelOption = None,
) -> None:
    """Label generated faces for an attribute of your own.

    You answer in the browser with two keys: yes and no.

    One face is shown at a time. Every answer is written at once to the .csv, which 'boundaries fit
    --scores' reads. After 50 answers, half of the faces are those that a quick fit of the answers
    is least sure of, so that a rare attribute needs fewer labels.
    """
    from latentedit.boundaries.labels import LabelFile
    from latentedit.boundaries.samples import named_attributes

    try:
        from latentedit.demo.labelling.server import open_desk, serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise LatentEditError("the page needs the demo: pip install 'latentedit[demo]'") from None
    from latentedit.cli.boundaries import model_whitening
    from latentedit.editing.editor import FaceEditor
    from latentedit.io.files import check_writable
    from latentedit.io.locks import claimed

    (attribute,) = named_attributes([name])
    check_writable(output)
    with claimed(output) as free:
        if not free:
            raise LatentEditError(f"{output} is being labelled already: close the other page first")
        editor = FaceEditor.load(model)
        desk = open_desk(
            editor,
            LabelFile(output, attribute, editor.generator_hash),
            _fit_command(output, attribute, model),
            wanted=n,
            whitening=model_whitening(editor),
            active=not at_random,
            size=size,
        )
        serve(desk, host=host, port=port, open_browser=open_browser)


def _fit_command(labels: Path, attribute: str, model: str | None) -> str:
    words = ["latentedit", "boundaries", "fit", "--scores", str(labels)]
    words += ["-o", f"{attribute}.safetensors", *(["--model", model] if model else [])]
    return shlex.join(words)
