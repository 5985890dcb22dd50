"""The slider page as a Space of the Hugging Face Hub."""

from __future__ import annotations

import gradio as gr

from latentedit import FaceEditor
from latentedit.demo.server import serve

HOST, PORT = "0.0.0.0", 7860  # where a Space is expected to listen
FRAMED_BY = ("https://huggingface.co",)  # whose pages show it in a frame


def build(model: str | None = None, *, host: str = HOST, port: int | None = PORT) -> gr.Blocks:
    """Start the page with a model: by default ffhq1024 if it was pulled, else faces128."""
    return serve(FaceEditor.load(model), host=host, port=port, wait=False, framed_by=FRAMED_BY)


if __name__ == "__main__":
    build().block_thread()
