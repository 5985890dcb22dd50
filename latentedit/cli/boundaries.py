"""`latentedit boundaries`: linear boundaries from a pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Find the attributes' boundaries in latent space.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def fit(
    pool: Annotated[Path, typer.Option("--pool", help="A pool from 'pool build'.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write, ending in .safetensors.")
    ],
) -> None:
    """Fit a linear SVM for each attribute and print its figures.

    Samples it was fitted on, accuracy on them; then, on held-out latents, accuracy, F1, ROC AUC
    and the share of faces that have the attribute.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from latentedit.boundaries import check_path
    from latentedit.cli.progress import progress_bar
    from latentedit.cli.train import command_line
    from latentedit.files import check_writable
    from latentedit.finder import fit_boundaries
    from latentedit.pool import Pool
    from latentedit.pretrained import TERMS

    check_writable(check_path(output))
    opened = Pool(pool)
    z, scores = opened.load()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attribute", no_wrap=True)
    for heading in ("samples", "train", "test", "F1", "ROC AUC", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    with progress_bar() as bar:
        task = bar.add_task("Fitting", total=len(opened.attributes), note="")

        def on_attribute(name: str, figures: Mapping[str, float]) -> None:
            cells = ("train_accuracy", "accuracy", "f1", "roc_auc", "prevalence")
            row = (name, str(figures["samples"]), *(f"{figures[cell]:.4f}" for cell in cells))
            table.add_row(*row)
            bar.update(task, advance=1, note=name)

        boundaries = fit_boundaries(
            z, scores, opened.attributes, opened.generator_hash, on_attribute=on_attribute
        )
    card = {"terms": TERMS, "data": opened.describe(), "commands": [command_line()]}
    boundaries.save(output, card)
    Console().print(table)
    print(f"{len(boundaries.names)} boundaries in {output}")
