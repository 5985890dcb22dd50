"""Figures of measured edits. They need the extra ``plots`` (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentedit.attributes import display_name
from latentedit.boundaries.model import Boundaries
from latentedit.evaluation.edits.effects import Effects
from latentedit.evaluation.figures.plots import check_plot, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODE_NAMES = {
    "none": "no holds",
    "one": "the most similar boundary held",
    "two": "the two most similar held",
    "auto": "auto",
    "all": "all held",
}


def plot_effects(
    path: str | Path, effects: Effects, modes: Sequence[str] = ("none", "auto", "all")
) -> None:
    """Draw the re-scoring matrix as one heat map for each kind of holds.

    A cell is the mean change of one attribute's probability (column) when another one (row) moves
    by a step of 1: half the difference between steps 1 and -1.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        effects: from `evaluation.edits.measure`.
        modes: kinds of holds to draw.

    Raises:
        LatentEditError: see `plots.check_plot`, or the path cannot be written.
    """
    check_plot(path)
    save_figure(effects_figure(effects, modes), path)


def effects_figure(effects: Effects, modes: Sequence[str]) -> Figure:
    """The figure of `plot_effects`."""
    from matplotlib.figure import Figure

    shown = [mode for mode in modes if mode in effects.modes]
    rows, columns = len(effects.attributes), len(effects.scored)
    width, height = 2.2 + 0.155 * columns, max(3.4, 1.9 + 0.155 * rows)  # the bar has a label
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
        axis.set_title(f"holds: {mode}", fontsize=9)
    figure.colorbar(image, ax=list(axes), label="mean change of probability per step", shrink=0.6)
    return figure


def plot_frontier(path: str | Path, lines: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
    """Draw target change against leakage, one line for each kind of holds.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        lines: from `effects.frontier`.

    Raises:
        LatentEditError: see `plots.check_plot`, or the path cannot be written.
    """
    figure, axes = _figure(path, (6.5, 4.2))
    for mode, line in lines.items():
        points = [
            (share, leak)
            for share, leak in zip(line["shares"], line["leakage"], strict=True)
            if leak is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", ms=3, label=MODE_NAMES.get(mode, mode))
    axes.set_xlabel("share of faces in which the target flips")
    axes.set_ylabel("mean absolute change of other probabilities")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8)
    save_figure(figure, path)


def plot_calibrations(path: str | Path, boundaries: Boundaries) -> None:
    """Draw every attribute's calibration, its safe range shaded.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        boundaries: with calibrations.

    Raises:
        LatentEditError: see `plots.check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    names = [name for name in boundaries.names if boundaries.calibration(name)]
    columns = 8
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(1.7 * columns, 1.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis in grid[len(names) :]:
        axis.axis("off")
    for axis, name in zip(grid, names, strict=False):
        calibration = boundaries.calibrations[name]
        axis.axvspan(*boundaries.safe_range(name), color="#dde6ee")
        axis.plot(calibration.steps, calibration.probabilities, color="#1f5f99")
        axis.set_title(display_name(name), fontsize=7)
        axis.set_ylim(0, 1)
        axis.tick_params(labelsize=6)
    save_figure(figure, path)


def plot_aging(path: str | Path, report: Mapping[str, Any]) -> None:
    """Draw the distribution of years between young and old, and identity along the frontier.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        report: from `aging.evaluate_age`.

    Raises:
        LatentEditError: see `plots.check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, row in report["years"].items():
        histogram = row["histogram"]
        shares = [count / row["n"] for count in histogram["counts"]]
        drawn = left.stairs(shares, histogram["edges"], label=name.replace("_", "-"))
        left.axvline(row["mean"], color=drawn.get_edgecolor(), ls=":", lw=1)
    left.set_xlabel("years between the young and the old face")
    left.set_ylabel("share of faces")
    left.legend(fontsize=8)
    frontier = report["frontier"] or []
    costs = {
        f"cosine, {kind}": [point["identity"][kind] for point in frontier]
        for kind in report["identity"]
    }
    if "person" in report:
        within = [point["person"]["within"]["same"] for point in frontier]
        costs["share within one person's distance, dlib"] = within
    name = list(report["years"])[-1]  # the independent estimator where it is installed
    years = [point["years"][name]["mean"] for point in frontier]
    for label, values in costs.items() if years else ():
        right.plot(years, values, "o-", ms=3, label=label)
    right.set_xlabel(f"mean years, {name.replace('_', '-')} estimator")
    right.set_ylabel("old to young face")
    right.grid(alpha=0.3)
    if right.lines:
        right.legend(fontsize=7)
    save_figure(figure, path)


def _figure(path: str | Path, size: tuple[float, float]) -> tuple[Figure, Any]:
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()
