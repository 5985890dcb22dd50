"""`latentedit pool`: make a pool, many latents with the classifier's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.convert import Space
from latentedit.cli.options import ModelOption, PrecisionOption, PsiOption
from latentedit.cli.words import say

app = typer.Typer(help="Sample and label latents in bulk.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def build(
    output: Annotated[Path, typer.Option("-o", "--output", help="The pool's folder.")],
    n: Annotated[
        int, typer.Option("--n", "-n", min=1, help="How many latents.")
    ] = defaults.POOL_SIZE,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Seeds run upwards from here.")
    ] = defaults.POOL_FIRST_SEED,
    space: Annotated[
        Space | None,
        typer.Option(help="For a StyleGAN2: the space to sample in [default: the model's]."),
    ] = None,
    psi: PsiOption = None,
    precision: PrecisionOption = defaults.PRECISION,
    model: ModelOption = None,
) -> None:
    """Render seeds and keep their 40 probabilities.

    Run it again to go on after a break.

    With a larger -n the pool grows. Several processes can fill one pool together, also on several
    machines that share a disk. Start them one by one, or with torchrun or 'accelerate launch'.
    """
    from latentedit.boundaries.fitting import MIN_POOL, rare_attributes
    from latentedit.boundaries.pool import build_pool
    from latentedit.cli.progress import progress_bar
    from latentedit.editing.editor import FaceEditor
    from latentedit.io.launch import launch

    editor = FaceEditor.load(
        model, precision=precision, space=space.value if space else None, psi=psi
    )
    few = [
        f"boundaries are fitted on {MIN_POOL} latents at least, and better on "
        f"{defaults.POOL_SIZE:,}; run it again with a larger -n, and the pool grows"
    ] * (n < MIN_POOL)
    with progress_bar() as bar:
        task = bar.add_task("Sampling", total=n, note="")

        def show(done: int, total: int) -> None:
            if few:  # said with the first faces: a command that is refused shows only its error
                say([few.pop()])
            bar.update(task, completed=done, total=total)

        pool = build_pool(editor, output, n, first_seed=first_seed, on_progress=show)
    more = f", more than the {n} asked for" if pool.size > n else ""
    print(f"{pool.size} latents in {output}{more}")
    if not launch().leads or pool.size < MIN_POOL:
        return
    if rare := rare_attributes(pool.scores(), pool.attributes):
        print(
            f"the boundaries of {', '.join(rare)} will not be trusted: too few of these faces "
            "have, or lack, these attributes; a larger -n adds more faces to the pool"
        )
