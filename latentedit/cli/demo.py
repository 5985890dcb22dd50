"""`latentedit demo`: the slider page."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from latentedit.cli.options import (
    BoundariesOption,
    BrowserOption,
    HostOption,
    ModelOption,
    PsiOption,
)
from latentedit.errors import LatentEditError


def demo(
    host: HostOption = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port [default: the first free one from 7860]"),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Also open a public link through Gradio's servers.")
    ] = False,
    open_browser: BrowserOption = True,
    psi: PsiOption = None,
    model: ModelOption = None,
    boundaries: BoundariesOption = None,
) -> None:
    """Edit faces with sliders, in the browser."""
    print("The page is being made ready ...", file=sys.stderr, flush=True)
    try:
        from latentedit.demo.server import serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise LatentEditError("the demo needs Gradio: pip install 'latentedit[demo]'") from None
    from latentedit.editing.editor import FaceEditor

    editor = FaceEditor.load(model, boundaries=boundaries, psi=psi)
    serve(editor, host=host, port=port, share=share, open_browser=open_browser)
