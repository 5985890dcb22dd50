"""Measuring boundaries: locks, effects, safe ranges and calibrations, in one go or in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentedit import defaults
from latentedit.boundaries import Boundaries
from latentedit.errors import LatentEditError
from latentedit.evaluation.effects import MODES, Effects, mode_holds, summarize
from latentedit.evaluation.locks import Choice, choose_holds, response
from latentedit.evaluation.ranges import calibrate, safe_range
from latentedit.evaluation.traces import Trace, Traces, Track, no_bar

if TYPE_CHECKING:
    from latentedit.editor import FaceEditor


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        faces: that effects are reported on.
        lock_faces: other ones that locks are chosen on.
        modes: kinds of locks that are compared; ``none`` and ``auto`` are among them.
        steps: of the re-scoring matrix.
        far_steps: all steps that are rendered; `steps` are among them.
    """

    faces: int = defaults.EFFECTS_FACES
    lock_faces: int = defaults.LOCKS_FACES
    modes: tuple[str, ...] = MODES
    steps: tuple[float, ...] = defaults.EFFECT_STEPS
    far_steps: tuple[float, ...] = defaults.FAR_STEPS

    @property
    def seeds(self) -> range:
        """Of the faces that effects are reported on."""
        return range(defaults.EFFECTS_FIRST_SEED, defaults.EFFECTS_FIRST_SEED + self.faces)

    @property
    def lock_seeds(self) -> range:
        """Of the faces that locks are chosen on."""
        return range(defaults.LOCKS_FIRST_SEED, defaults.LOCKS_FIRST_SEED + self.lock_faces)


def open_traces(
    editor: FaceEditor,
    folder: str | Path,
    *,
    typical: int = defaults.TYPICAL_FACES,
    describe: bool = False,
    track: Track = no_bar,
) -> Traces:
    """Open the folder of a measurement; see `traces.Traces`."""
    seeds = range(defaults.TYPICAL_FIRST_SEED, defaults.TYPICAL_FIRST_SEED + typical)
    return Traces(editor, folder, seeds, describe=describe, track=track)


def choose_locks(
    traces: Traces, plan: Plan, attributes: Sequence[str], *, track: Track = no_bar
) -> dict[str, Choice]:
    """Choose the auto holds of some attributes; see `locks`.

    All boundaries are followed without locks first, on the faces that locks are chosen on.
    """
    names, scored = traces.boundaries.names, traces.editor.attributes
    free = [
        traces.trace(names[row], {}, (-1.0, 0.0, 1.0), plan.lock_seeds)
        for row in track(range(len(names)), len(names), "Effects without locks")
    ]
    model = response(traces.boundaries, free, scored)
    return {
        attributes[row]: choose_holds(
            traces, model, attributes[row], plan.far_steps, plan.lock_seeds
        )
        for row in track(range(len(attributes)), len(attributes), "Choosing locks")
    }


def follow_modes(
    traces: Traces,
    boundaries: Boundaries,
    plan: Plan,
    attributes: Sequence[str],
    *,
    track: Track = no_bar,
) -> Iterator[tuple[str, str, Trace]]:
    """Follow the reported faces along every attribute under every kind of locks.

    Args:
        boundaries: those of `traces`, with the auto holds to use.

    Yields:
        (mode, attribute, trace); nothing where the locks leave nothing of a direction.
    """
    pairs = [(mode, name) for mode in plan.modes for name in attributes]
    for index in track(range(len(pairs)), len(pairs), "Effects"):
        mode, name = pairs[index]
        holds = mode_holds(boundaries, name, mode)
        try:
            yield mode, name, traces.trace(name, holds, plan.far_steps, plan.seeds)
        except LatentEditError:
            continue


def measure(
    traces: Traces,
    plan: Plan | None = None,
    *,
    attributes: Sequence[str] | None = None,
    choose: bool = True,
    track: Track = no_bar,
) -> tuple[Boundaries, Effects]:
    """Measure boundaries.

    Args:
        traces: follows faces, or remembers them.
        plan: how much.
        attributes: to measure; all by default.
        choose: choose locks; otherwise the stored ones are measured.
        track: draws progress bars.

    Returns:
        The boundaries with auto holds, safe ranges, calibrations and further figures, and the
        effects.

    Raises:
        LatentEditError: unknown attributes, or boundaries that the classifier does not score.
    """
    plan, boundaries = plan or Plan(), traces.boundaries
    scored = traces.editor.attributes
    chosen = [boundaries.names[boundaries.index(name)] for name in attributes or boundaries.names]
    for name in chosen:
        if name not in scored:
            raise LatentEditError(f"the classifier does not score {name}: leave it out")
    if choose:
        choices = choose_locks(traces, plan, chosen, track=track)
        found = {name: choice.holds for name, choice in choices.items()}
        boundaries = replace(boundaries, auto={**boundaries.auto, **found})
    ranges, calibrations = dict(boundaries.safe_ranges), dict(boundaries.calibrations)

    def seen() -> Iterator[tuple[str, str, Trace]]:
        for mode, name, trace in follow_modes(traces, boundaries, plan, chosen, track=track):
            if mode == "auto":
                column = scored.index(name)
                ranges[name] = safe_range(trace, traces.typical, column)
                calibrations[name] = calibrate(trace, column)
            yield mode, name, trace

    effects = summarize(
        seen(),
        attributes=chosen,
        scored=scored,
        modes=plan.modes,
        steps=plan.steps,
        facts={
            "model": traces.editor.name,
            "generator_hash": traces.editor.generator_hash,
            "classifier_hash": traces.editor.classifier_hash,
            "boundaries": boundaries.normals_hash,
            "age_hash": traces.editor.age_hash,
            "faces": plan.faces,
            "first_seed": plan.seeds[0],
            "lock_faces": plan.lock_faces if choose else None,
        },
    )
    measured = replace(
        boundaries,
        safe_ranges=ranges,
        calibrations=calibrations,
        figures=_with_leakages(boundaries.figures, effects.at_half()),
    )
    return measured, effects


def _with_leakages(
    figures: Mapping[str, Mapping[str, float]], at_half: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """Add to each attribute's figures its locks' magnitudes and leakages where half flip."""
    added = {name: dict(values) for name, values in figures.items()}
    for name, row in at_half.items():
        values = added.setdefault(name, {})
        values["flipped"] = round(row["share"], 4)
        for mode in ("none", "two", "auto"):
            for figure in ("magnitude", "leakage"):
                values.pop(f"{figure}_{mode}", None)
                if row.get(mode) is not None:
                    values[f"{figure}_{mode}"] = round(row[mode][figure], 4)
    return added


def locks_in_words(name: str, row: Mapping[str, Any]) -> str:
    """One sentence of what an attribute's auto holds achieve.

    Args:
        name: in plain words.
        row: the attribute's, of `Effects.at_half`.
    """
    none, auto, two = row.get("none"), row.get("auto"), row.get("two")
    if none is None:
        return f"{name}: too few faces flip for locks to be compared ({row['share']:.0%})"
    where = f"where {row['share']:.0%} of the faces flip"
    if auto is None:
        return f"{name}: with auto locks too few faces flip to compare"
    text = (
        f"{name}: {where} (step {auto['magnitude']:.1f}), others change by "
        f"{auto['leakage']:.4f} with auto locks, {none['leakage']:.4f} with none "
        f"({auto['leakage'] / none['leakage'] - 1:+.0%})"
    )
    return text if two is None else f"{text}, {two['leakage']:.4f} holding the two most similar"


def reduction(effects: Effects, mode: str = "auto", against: str = "none") -> float | None:
    """How much less one kind of locks leaks than another, averaged over attributes; 0.3 is 30 %.

    Over the attributes where both can be compared; None where there are none.
    """
    shares = [
        1 - row[mode]["leakage"] / row[against]["leakage"]
        for row in effects.at_half().values()
        if row.get(mode) and row.get(against)
    ]
    return sum(shares) / len(shares) if shares else None
