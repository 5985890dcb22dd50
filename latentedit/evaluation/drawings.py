"""Figures of measured edits. They need the extra ``plots`` (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from latentedit.attributes import display_name
from latentedit.evaluation.effects import Effects
from latentedit.evaluation.report import check_plot, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_effects(
    path: str | Path, effects: Effects, modes: Sequence[str] = ("none", "auto", "all")
) -> None:
    """Draw the re-scoring matrix as one heat map for each kind of locks.

    A cell is the mean change of an attribute's probability (column) by moving another one (row) by
    one latent unit: half the difference between steps 1 and -1.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        effects: from `evaluation.measure`.
        modes: kinds of locks to draw.

    Raises:
        LatentEditError: see `report.check_plot`, or the path cannot be written.
    """
    check_plot(path)
    save_figure(effects_figure(effects, modes), path)


def effects_figure(effects: Effects, modes: Sequence[str]) -> Figure:
    """The figure of `plot_effects`."""
    from matplotlib.figure import Figure

    shown = [mode for mode in modes if mode in effects.modes]
    rows, columns = len(effects.attributes), len(effects.scored)
    width, height = 2.2 + 0.155 * columns, 1.9 + 0.155 * rows
    figure = Figure(figsize=(width * len(shown) + 0.6, height), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axis, mode in zip(axes, shown, strict=True):
        change = (effects.matrix(mode, 1.0) - effects.matrix(mode, -1.0)) / 2
        image = axis.imshow(change, cmap="RdBu_r", vmin=-0.25, vmax=0.25, aspect="equal")
        axis.set_xticks(
            range(columns), [display_name(name) for name in effects.scored], rotation=90, fontsize=6
        )
        axis.set_yticks(
            range(rows), [display_name(name) for name in effects.attributes], fontsize=6
        )
        axis.set_title(f"locks: {mode}", fontsize=9)
    figure.colorbar(image, ax=list(axes), label="mean change of probability per step", shrink=0.6)
    return figure
