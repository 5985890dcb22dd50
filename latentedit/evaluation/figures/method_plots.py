"""Figures of compared methods, and faces side by side. Plots need the extra ``plots``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentedit.attributes import display_name
from latentedit.evaluation.figures.plots import check_plot, save_figure
from latentedit.evaluation.methods.base import Method
from latentedit.evaluation.methods.comparison import Comparison, Measured
from latentedit.evaluation.methods.equal_effect import at_share
from latentedit.evaluation.methods.registry import OURS
from latentedit.io.images import UInt8Array, film_strip

SHEET_ATTRIBUTES = 8
"""Rows of the sheet of faces."""

SHEET_FIRST = (
    *("Young", "Smiling", "Eyeglasses", "Male", "Bangs", "Blond_Hair", "Gray_Hair"),
    "Wearing_Lipstick",
)
"""Attributes that the sheet shows if they were measured: everybody sees whether they changed."""

FRAME = 160
_BLANK = 235
_OURS_COLOUR = "#c0392b"
_NO_LOCKS_COLOUR = "#444444"


def plot_frontiers(path: str | Path, report: Mapping[str, Any]) -> None:
    """Draw leakage against the share of flipped faces, a panel for each attribute.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        report: from `methods.report.build_report`.

    Raises:
        LatentEditError: see `plots.check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    names = list(report["attributes"])
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(6.0, 3.0 * columns), 2.3 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    looks = _looks(report)
    handles: dict[str, Any] = {}
    for axes, name in zip(panels, names, strict=False):
        row = report["attributes"][name]
        for method, figures in row["methods"].items():
            if "frontier" not in figures:
                continue
            shares, leaks = _frontier(figures, row["share"])
            (drawn,) = axes.plot(shares, leaks, "-", lw=1.4, **looks[method])
            if "leakage" in figures:
                axes.plot(figures["share"], figures["leakage"], "o", ms=4, **looks[method])
            handles.setdefault(method, drawn)
        axes.axvline(row["share"], color="#bbbbbb", lw=0.8, ls=":")
        axes.set_title(display_name(name), fontsize=9)
        axes.set_xlim(0, row["share"] * 1.15)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    titles = [report["methods"][method]["title"] for method in handles]
    figure.legend(handles.values(), titles, loc="outside upper center", ncols=4, fontsize=8)
    figure.supxlabel("share of faces in which the target flips", fontsize=9)
    figure.supylabel("mean absolute change of the other probabilities", fontsize=9)
    save_figure(figure, path)


def _frontier(figures: Mapping[str, Any], most: float) -> tuple[list[float], list[float]]:
    """Return shares from 0 to `most`, and the leakage there."""
    line = figures["frontier"]
    steps, shares, leaks = (np.array(line[name]) for name in ("steps", "shares", "leakage"))
    places = [float(share) for share in np.linspace(0, most, 11)[1:]]
    found = [at_share(steps, shares, leaks, share) for share in places]
    kept = [(place, leak) for place, leak in zip(places, found, strict=True) if np.isfinite(leak)]
    return [0.0, *(place for place, _ in kept)], [0.0, *(leak for _, leak in kept)]


def plot_methods(path: str | Path, report: Mapping[str, Any]) -> None:
    """Draw leakage by attribute, and mean leakage against identity, at equal effect.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        report: from `methods.report.build_report`.

    Raises:
        LatentEditError: see `plots.check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    names = list(report["attributes"])[::-1]
    figure = Figure(figsize=(11, 0.3 * len(names) + 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    looks = _looks(report)
    for method, row in report["methods"].items():
        points = [
            (report["attributes"][name]["methods"][method]["leakage"], y)
            for y, name in enumerate(names)
            if "leakage" in report["attributes"][name]["methods"].get(method, {})
        ]
        if points:
            size = 9 if method == OURS else 6
            left.plot(*zip(*points, strict=True), "o", ms=size, label=row["title"], **looks[method])
        summary = report["summary"][method]
        place = summary["distance_ratio"], summary["ratio"]
        if None not in place:
            right.plot(*place, "o", ms=8, **looks[method])
            right.annotate(
                row["title"],
                place,
                textcoords="offset points",
                xytext=(6, 4),
                fontsize=7,
            )
    left.set_yticks(range(len(names)), [display_name(name) for name in names], fontsize=8)
    left.set_xlim(left=0)
    left.set_xlabel("mean absolute change of the other probabilities")
    left.grid(alpha=0.25)
    right.set_xlabel("dlib's distance to the unedited face, ours = 1")
    right.set_ylabel("leakage, ours = 1")
    right.margins(x=0.3, y=0.15)
    right.grid(alpha=0.25)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8
    )
    save_figure(figure, path)


def _looks(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A colour for each method; ours is red and above the others."""
    colours = ["#1f77b4", "#17becf", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2"]
    looks: dict[str, dict[str, Any]] = {}
    for method in report["methods"]:
        if method == OURS:
            looks[method] = {"color": _OURS_COLOUR, "zorder": 5}
        elif method == "none":
            looks[method] = {"color": _NO_LOCKS_COLOUR, "zorder": 4}
        else:
            looks[method] = {"color": colours[len(looks) % len(colours)], "zorder": 3}
    return looks


def method_sheet(
    comparison: Comparison,
    methods: Sequence[Method],
    rows: Mapping[str, tuple[float, Mapping[str, Measured]]],
) -> UInt8Array:
    """Draw faces side by side: the unedited one, then each method's edit at equal effect.

    Each of `SHEET_ATTRIBUTES` attributes has one row, with another face; those of `SHEET_FIRST`
    come first. A method that does not reach the share is drawn at its longest step.

    Returns:
        uint8 [H, W, 3].
    """
    strips, captions = [], []
    known = [name for name in SHEET_FIRST if name in rows]
    shown = [*known, *(name for name in rows if name not in known)][:SHEET_ATTRIBUTES]
    for face, attribute in enumerate(shown):
        measured = rows[attribute][1]
        at = slice(face % comparison.plan.faces, face % comparison.plan.faces + 1)
        frames = [comparison.editor.render(comparison.latents[at], comparison.size)[0]]
        sign = "+" if comparison.sides(attribute)[at][0] > 0 else "-"
        words = [f"{sign} {display_name(attribute)}"]
        for method in methods:
            picture, said = _edited(comparison, measured[method.name], attribute, at)
            frames.append(np.full_like(frames[0], _BLANK) if picture is None else picture)
            words.append(f"{method.name}\n{said}")
        strips.append(np.stack(frames))
        captions.append(words)
    share = next(iter(rows.values()))[0]
    return film_strip(
        strips,
        captions=captions,
        title=f"Each method where {share:.0%} of {comparison.plan.faces} faces flip",
        marked=0,
        frame_size=FRAME,
    )


def _edited(
    comparison: Comparison, done: Measured, attribute: str, face: slice
) -> tuple[UInt8Array | None, str]:
    """Return one face's picture by a method (None if it cannot be used), and its caption."""
    if done.found is None or done.search is None:
        return None, "cannot"
    step = done.search.step or done.search.steps[-1]
    latents = comparison.edited(done.found, attribute, step, face)
    picture = comparison.material.editor_for(done.found.move).render(latents, comparison.size)[0]
    return picture, f"{step:.1f}" if done.search.step else f"not reached, {step:.1f}"
