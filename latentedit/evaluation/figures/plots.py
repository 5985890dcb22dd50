"""Drawing what the other modules measured. Plots need the extra ``plots`` (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import display_name
from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path
from latentedit.io.images import UInt8Array, film_strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOT_ENDINGS = (".png", ".svg", ".pdf")


def check_plot(path: str | Path) -> None:
    """Raise an error early if a plot could not be drawn.

    Raises:
        LatentEditError: matplotlib is missing, or the name does not end in .png, .svg or .pdf.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise LatentEditError("plots need an extra: pip install 'latentedit[plots]'") from None
    if Path(path).suffix.lower() not in PLOT_ENDINGS:
        raise LatentEditError(f"cannot draw {path}: end its name in {', '.join(PLOT_ENDINGS)}")


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def plot_epochs(
    path: str | Path, epochs: Sequence[int], scores: Sequence[float], title: str
) -> None:
    """Draw one score of a training run by epoch.

    Raises:
        LatentEditError: see `check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(epochs, scores, "o-", ms=3, color="#1f5f99")
    axes.set_xlabel("epoch")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def plot_accuracy_by_epoch(
    path: str | Path, logs: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Draw training and held-out accuracy by epoch, one panel for each network.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        logs: by network, records with ``epoch``, ``accuracy`` and ``held_out_accuracy``.

    Raises:
        LatentEditError: see `check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    columns = min(3, len(logs))
    rows = -(-len(logs) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (name, log) in zip(panels, logs.items(), strict=False):
        epochs = [record["epoch"] for record in log]
        for key, label in (("accuracy", "training"), ("held_out_accuracy", "held out")):
            axes.plot(epochs, [record[key] for record in log], lw=1.2, label=label)
        axes.set_title(name, fontsize=10)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    for axes in panels[len(logs) :]:
        axes.set_axis_off()
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("accuracy", fontsize=9)
    save_figure(figure, path)


def plot_curve(path: str | Path, curve: Mapping[str, Any]) -> None:
    """Draw what `curves.measure_curve` measured: distances, precision and recall, detail.

    Raises:
        LatentEditError: see `check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    along, points = curve["along"], curve["points"]
    places = [point[along] for point in points]
    figures = [point["spaces"]["dlib"] for point in points]
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    distance, covered, detail = figure.subplots(1, 3)
    distance.plot(places, [row["frechet"]["samples"] for row in figures], "o-", ms=3)
    for side, style in (("halves", "--"), ("real", ":")):
        distance.axhline(figures[0]["frechet"][side], ls=style, c="grey", lw=1, label=side)
    distance.set_title("Fréchet distance, dlib's descriptor", fontsize=10)
    distance.set_ylim(bottom=0)
    distance.legend(fontsize=8)
    for name in ("precision", "recall", "coverage"):
        covered.plot(places, [row[name]["samples"] for row in figures], "o-", ms=3, label=name)
    covered.set_title("precision, recall, coverage", fontsize=10)
    covered.legend(fontsize=8)
    for level in (name for name in points[0]["sliced_wasserstein"] if name != "mean"):
        values = [point["sliced_wasserstein"][level] for point in points]
        detail.plot(places, values, "o-", ms=3, label=f"{level} px")
    detail.set_title("sliced Wasserstein distance x1000", fontsize=10)
    detail.set_ylim(bottom=0)
    detail.legend(fontsize=8)
    for axes in (distance, covered, detail):
        axes.set_xlabel(along)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def plot_accuracies(path: str | Path, report: Mapping[str, Any]) -> None:
    """Draw a classifier's accuracy by attribute, the majority's and the slides' beside it.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        report: from `evaluation.classifiers.attributes.evaluate_classifier`.

    Raises:
        LatentEditError: see `check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    rows = sorted(report["attributes"].items(), key=lambda item: item[1]["accuracy"])
    y = np.arange(len(rows))
    figure = Figure(figsize=(8, 0.22 * len(rows) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    series = (
        ("majority", "|", "#8a8a8a", "always the commoner answer"),
        ("slides", "D", "#c08a2b", "slides"),
        ("accuracy", "o", "#1f5f99", "this classifier"),
    )
    for key, marker, colour, label in series:
        values = [row.get(key, np.nan) for _, row in rows]
        axes.plot(values, y, marker, ms=4 if marker != "|" else 9, color=colour, label=label)
    axes.set_yticks(y, [display_name(name) for name, _ in rows], fontsize=8)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("accuracy")
    title = f"{report['n']:,} faces, mean accuracy {report['mean_accuracy']:.4f}"
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper left", fontsize=8)
    save_figure(figure, path)


def plot_ages(
    path: str | Path,
    estimates: NDArray[np.float32],
    ages: NDArray[np.int8],
    report: Mapping[str, Any],
) -> None:
    """Draw estimated against true ages, and the mean absolute error by decade.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        estimates: years [N].
        ages: true years [N].
        report: from `evaluation.classifiers.age_estimator.evaluate_age_estimator`.

    Raises:
        LatentEditError: see `check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(ages, estimates, ".", ms=2, alpha=0.4, color="#1f5f99")
    left.plot([0, 116], [0, 116], color="#8a8a8a", lw=1)
    left.set(xlabel="age in years", ylabel="estimate in years", xlim=(-2, 118), ylim=(-2, 118))
    left.set_title(f"{report['n']:,} faces, mean absolute error {report['mae']:.2f}", fontsize=10)
    decades = report["by_decade"]
    right.bar(range(len(decades)), [row["mae"] for row in decades.values()], color="#1f5f99")
    for place, row in enumerate(decades.values()):
        right.annotate(f"n={row['n']}", (place, row["mae"]), ha="center", va="bottom", fontsize=6)
    right.set_xticks(range(len(decades)), list(decades), rotation=45, fontsize=8)
    right.set_ylabel("mean absolute error in years")
    right.set_title("by age", fontsize=10)
    save_figure(figure, path)


def plot_frequencies(path: str | Path, report: Mapping[str, Any]) -> None:
    """Draw a generator report's attribute frequencies, and the band within a factor of two.

    Args:
        path: a ``.png``, ``.svg`` or ``.pdf`` file.
        report: from `evaluation.generators.report.evaluate_generator`.

    Raises:
        LatentEditError: see `check_plot`, or the path cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    rows = [
        (name, row["held_out"], row["samples"], row["off"])
        if row["labels"] is None
        else (name, row["labels"], row["at_labels"], row["off"])
        for name, row in report["attributes"].items()
    ]
    rows.sort(key=lambda row: row[1])
    y, wrong = np.arange(len(rows)), np.array([off for *_, off in rows])
    data, samples = (np.array([row[column] for row in rows]) for column in (1, 2))
    figure = Figure(figsize=(8, 0.22 * len(rows) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    band = "within a factor of 2"
    axes.barh(y, 1.5 * data, 0.75, left=data / 2, color="#dde6ee", label=band)
    axes.plot(data, y, "o", ms=4, color="#1f5f99", label="held-out faces")
    axes.plot(samples[~wrong], y[~wrong], "D", ms=4, color="#2c8a4b", label="samples")
    if wrong.any():
        axes.plot(samples[wrong], y[wrong], "D", ms=4, color="#c0392b", label="samples, off")
    axes.set_yticks(y, [display_name(name) for name, *_ in rows], fontsize=8)
    axes.set_xlim(-0.01, 1)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("share of faces")
    axes.set_title(f"{report['n']:,} samples of {report['model']}", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    save_figure(figure, path)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all. The same figure always gives the same bytes."""
    kind = Path(path).suffix.lower().removeprefix(".")
    metadata = {"png": {"Software": ""}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=120, metadata=metadata)


def neighbours_panel(strips: Sequence[tuple[UInt8Array, list[str]]]) -> UInt8Array:
    """Draw samples beside their nearest training faces.

    Args:
        strips: from `evaluation.generators.report.nearest_training_faces`.

    Returns:
        uint8 [H, W, 3]. It shows faces of the data set: look at it, but do not publish it.
    """
    return film_strip(
        [faces for faces, _ in strips],
        captions=[captions for _, captions in strips],
        title="Samples and their nearest training faces",
        marked=0,
        frame_size=128,
    )


def generator_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return a generator report as table rows: figure, samples, real, halves of the real."""
    rows: list[tuple[str, str, str, str]] = []

    def add(name: str, figure: Mapping[str, Any]) -> None:
        cells = [figure.get(side) for side in ("samples", "real", "halves")]
        texts = ["" if value is None else f"{value:.4g}" for value in cells]
        rows.append((name, texts[0], texts[1], texts[2]))

    for space, figures in report["spaces"].items():
        for name, figure in figures.items():
            add(f"{name}, {space}", figure)
    for level, figure in report["sliced_wasserstein"].items():
        add(f"sliced Wasserstein x1000, {level}", figure)
    add("MS-SSIM between pairs", report["ms_ssim"])
    add("face found by dlib", report["face_found"])
    add("portraits without a fault", report["clean_portraits"])
    return rows
