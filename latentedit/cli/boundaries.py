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
    """Fit a linear SVM for each attribute and print its figures on held-out latents."""
    from rich.console import Console
    from rich.table import Table

    from latentedit.boundaries import fit_boundaries
    from latentedit.cli.progress import progress_bar
    from latentedit.files import check_writable
    from latentedit.pool import Pool
    from latentedit.pretrained import TERMS

    if output.suffix != ".safetensors":
        from latentedit.errors import LatentEditError

        raise LatentEditError(f"end the name of {output} in .safetensors")
    check_writable(output)
    opened = Pool(pool)
    z, scores = opened.load()
    table = Table("attribute", "samples", "train acc.", "accuracy", "F1", "ROC AUC", "prevalence")
    for column in table.columns[1:]:
        column.justify = "right"
    with progress_bar() as bar:
        task = bar.add_task("Fitting", total=len(opened.attributes), note="")

        def on_attribute(name: str, figures: Mapping[str, float]) -> None:
            cells = ("train_accuracy", "accuracy", "f1", "roc_auc", "prevalence")
            table.add_row(
                name, str(figures["samples"]), *(f"{figures[cell]:.3f}" for cell in cells)
            )
            bar.update(task, advance=1, note=name)

        boundaries = fit_boundaries(
            z, scores, opened.attributes, opened.generator_hash, on_attribute=on_attribute
        )
    Console().print(table)
    boundaries.save(
        output,
        {
            "terms": TERMS,
            "data": f"{opened.size} latents of {opened.model}, seeds from {opened.first_seed}",
        },
    )
    print(f"{len(boundaries.names)} boundaries in {output}")
