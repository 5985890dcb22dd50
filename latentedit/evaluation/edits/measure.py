"""Measuring boundaries: holds, effects, safe ranges and calibrations, in one go or in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentedit import defaults
from latentedit.attributes import display_name
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import Pool
from latentedit.editing.projection import discounted_direction
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.effects import Effects, summarize
from latentedit.evaluation.edits.holds import (
    Choice,
    HoldSearch,
    choose_holds,
    keep_candidates,
    leak_weights,
)
from latentedit.evaluation.edits.modes import MODES, mode_holds
from latentedit.evaluation.edits.ranges import calibrate, safe_range
from latentedit.evaluation.edits.surrogate import fit_surrogate, held_out, load_surrogate
from latentedit.evaluation.edits.traces import (
    FloatArray,
    Trace,
    Traces,
    Track,
    no_bar,
    observe_latents,
)
from latentedit.inference.devices import device_name
from latentedit.inference.judges import log_odds

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        faces: how many faces effects are reported on.
        hold_faces: how many other faces holds are chosen on.
        modes: kinds of holds that are compared; ``auto`` is among them.
        steps: of the re-scoring matrix.
        far_steps: all steps that are rendered with no holds and with auto holds; `steps` are among
            them.
        search_latents: how many latents are scored to search holds with, if no pool is given.
    """

    faces: int = defaults.EFFECTS_FACES
    hold_faces: int = defaults.HOLDS_FACES
    modes: tuple[str, ...] = MODES
    steps: tuple[float, ...] = defaults.EFFECT_STEPS
    far_steps: tuple[float, ...] = defaults.FAR_STEPS
    search_latents: int = defaults.SEARCH_LATENTS

    @property
    def seeds(self) -> range:
        """Seeds of the faces that effects are reported on."""
        return range(defaults.EFFECTS_FIRST_SEED, defaults.EFFECTS_FIRST_SEED + self.faces)

    @property
    def magnitudes(self) -> tuple[float, ...]:
        """The `far_steps` that are not below 0."""
        return tuple(step for step in self.far_steps if step >= 0)

    @property
    def hold_seeds(self) -> range:
        """Seeds of the faces that holds are chosen on."""
        return range(defaults.HOLDS_FIRST_SEED, defaults.HOLDS_FIRST_SEED + self.hold_faces)


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


def open_search(
    traces: Traces, plan: Plan, pool: Pool | None = None, *, track: Track = no_bar
) -> tuple[HoldSearch, float]:
    """Fit the surrogate that holds are searched in, or read the one in the traces' folder.

    Args:
        pool: of the same model; without one, `Plan.search_latents` latents are rendered and scored.

    Returns:
        The search, and the surrogate's coefficient of determination, averaged over all logits.

    Raises:
        LatentEditError: the pool is another model's, unfinished or damaged.
    """
    editor, boundaries = traces.editor, traces.boundaries
    if pool is None:
        latents, logits = scored_latents(traces, plan.search_latents, track)
        name = f"surrogate-{len(latents)}"
    else:
        latents, logits = pooled_latents(traces, pool)
        name = f"surrogate-pool-{pool.first_seed}-{len(latents)}-psi-{pool.truncation:g}"
    latents = boundaries.coordinates(latents).astype(np.float32)

    def fit() -> dict[str, FloatArray]:
        for _ in track(range(1), 1, "Fitting the surrogate"):
            fitted = fit_surrogate(latents, logits)
        weights = fitted.network.state_dict()
        return {**{key: value.numpy() for key, value in weights.items()}, "r2": fitted.r2}

    kept = traces.folder.keep(name, fit)
    columns = [
        editor.attributes.index(name) if name in editor.attributes else None
        for name in boundaries.names
    ]
    unseen = slice(-min(defaults.SEARCH_FACES, held_out(len(latents))), None)
    search = HoldSearch(
        load_surrogate(kept),
        boundaries,
        columns,
        leak_weights(editor.attributes),
        latents[unseen],
        logits[unseen],
        name,
    )
    return search, float(kept["r2"].mean())


def scored_latents(traces: Traces, count: int, track: Track) -> tuple[FloatArray, FloatArray]:
    """Return latents and logits of a pool's first seeds; they are scored only once."""
    seeds = range(defaults.POOL_FIRST_SEED, defaults.POOL_FIRST_SEED + count)
    z = traces.editor.sample(seeds)

    def score() -> dict[str, FloatArray]:
        observed = observe_latents(
            traces.editor, z, estimate=False, track=track, title="Scoring latents"
        )
        return {"logits": observed.logits}

    return z, traces.folder.keep(f"scored-{count}", score)["logits"]


def pooled_latents(traces: Traces, pool: Pool) -> tuple[FloatArray, FloatArray]:
    """Return latents and logits of a pool, at most `defaults.SEARCH_MOST`."""
    for part in ("generator_hash", "classifier_hash", "space"):
        if getattr(pool, part) != getattr(traces.editor, part):
            raise LatentEditError(
                f"pool {pool.folder} is of another model (other {part}): build one of this model, "
                "or leave --pool out"
            )
    own = traces.editor.generator.truncation
    if pool.space == "z" and pool.truncation != own:  # w is truncated before it becomes a latent
        raise LatentEditError(
            f"pool {pool.folder} was drawn at psi {pool.truncation:g}, the model draws at {own:g}: "
            "build one of this model, or leave --pool out"
        )
    if len(pool.latents) < defaults.SEARCH_LEAST:
        raise LatentEditError(
            f"holds cannot be searched with {len(pool.latents)} latents: give a pool of at least "
            f"{defaults.SEARCH_LEAST}, or leave --pool out"
        )
    rows = slice(0, defaults.SEARCH_MOST)
    return pool.latents[rows], log_odds(pool.scores()[rows])


def choose_auto_holds(
    traces: Traces,
    plan: Plan,
    attributes: Sequence[str],
    search: HoldSearch,
    *,
    track: Track = no_bar,
) -> dict[str, Choice]:
    """Choose auto holds (see `holds`), together with other processes that measure the same."""

    def choose(row: int) -> Choice:
        candidates = keep_candidates(traces.folder, search, attributes[row])
        return choose_holds(traces, candidates, attributes[row], plan.hold_seeds)

    count = len(attributes)
    for _ in track(traces.folder.turns(count, choose), count, "Choosing holds"):
        pass
    return {name: choose(row) for row, name in enumerate(attributes)}


def follow_modes(
    traces: Traces,
    boundaries: Boundaries,
    plan: Plan,
    attributes: Sequence[str],
    *,
    track: Track = no_bar,
) -> Iterator[tuple[str, str, Trace]]:
    """Follow the reported faces along every attribute under every kind of holds.

    Processes that measure the same in the same folder share the traces.

    Modes ``one`` and ``two`` are only there for comparison, so faces are followed only away from
    their own side. In mode ``all`` hardly anything moves, so only the matrix's steps are rendered.

    Args:
        boundaries: those of `traces`, with the auto holds to use.

    Yields:
        (mode, attribute, trace); left out if the holds leave nothing of a direction.

    Raises:
        LatentEditError: a kept trace is damaged, or a trace cannot be kept.
    """
    pairs = [(mode, name) for mode in plan.modes for name in attributes]

    def follow(number: int) -> Trace | None:
        mode, name = pairs[number]
        holds = mode_holds(boundaries, name, mode)
        try:
            discounted_direction(boundaries, name, holds)
        except LatentEditError:
            return None
        if mode in ("one", "two"):
            return traces.away(name, holds, plan.magnitudes, plan.seeds)
        steps = plan.steps if mode == "all" else plan.far_steps
        return traces.trace(name, holds, steps, plan.seeds)

    for _ in track(traces.folder.turns(len(pairs), follow), len(pairs), "Effects"):
        pass
    for number, (mode, name) in enumerate(pairs):
        if trace := follow(number):
            yield mode, name, trace


def measure(
    traces: Traces,
    plan: Plan | None = None,
    *,
    attributes: Sequence[str] | None = None,
    choose: bool = True,
    pool: Pool | None = None,
    track: Track = no_bar,
) -> tuple[Boundaries, Effects]:
    """Measure boundaries: choose their holds and measure their effects.

    Args:
        traces: follows faces, or remembers them.
        plan: how much is measured.
        attributes: to measure; by default all that the classifier scores.
        choose: choose holds; if False, the stored ones are measured.
        pool: latents that holds are searched with, see `open_search`.
        track: draws progress bars.

    Returns:
        The boundaries with auto holds, safe ranges, calibrations and further figures, and the
        effects.

    Raises:
        LatentEditError: an attribute is unknown or not scored by the classifier, or holds are to be
            chosen and the classifier scores a single attribute.
    """
    plan, boundaries = plan or Plan(), traces.boundaries
    scored = traces.editor.attributes
    chosen = measured_attributes(boundaries, scored, attributes)
    if choose and len(scored) < 2:
        raise LatentEditError(
            f"choosing holds needs several attributes, the classifier scores only {scored[0]}: "
            "give --keep-holds"
        )
    explained = None
    if choose:
        search, explained = open_search(traces, plan, pool, track=track)
        choices = choose_auto_holds(traces, plan, chosen, search, track=track)
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
            **describe_plan(traces.editor, boundaries, plan),
            "device": device_name(traces.editor.device),
            "faces": plan.faces,
            "hold_faces": plan.hold_faces if choose else None,
            "surrogate_r2": explained,
        },
    )
    measured = replace(
        boundaries,
        safe_ranges=ranges,
        calibrations=calibrations,
        figures=_with_leakages(boundaries.figures, effects.at_half()),
    )
    return measured, effects


def measured_attributes(
    boundaries: Boundaries, scored: Sequence[str], attributes: Sequence[str] | None
) -> list[str]:
    """Return the names of the boundaries to measure; by default all that are scored.

    Raises:
        LatentEditError: unknown attributes, or some that the classifier does not score.
    """
    if attributes:
        # each once, however often and however spelt it was given
        found = [boundaries.names[boundaries.index(name)] for name in attributes]
        chosen = list(dict.fromkeys(found))
    else:
        chosen = [name for name in boundaries.names if name in scored] or [boundaries.names[0]]
    for name in chosen:
        if name not in scored:
            raise LatentEditError(f"the classifier does not score {name}: leave it out")
    return chosen


def describe_plan(editor: FaceEditor, boundaries: Boundaries, plan: Plan) -> dict[str, Any]:
    """Return what effects are measured on, for their `facts`; see `Effects.joined`."""
    return {
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "boundaries": boundaries.normals_hash,
        "age_hash": editor.age_hash,
        "precision": editor.precision_name,
        "first_seed": plan.seeds[0],
    }


def _with_leakages(
    figures: Mapping[str, Mapping[str, float]], at_half: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """Add to each attribute's figures the magnitudes and leakages of holds where half flip."""
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


def holds_in_words(name: str, row: Mapping[str, Any]) -> str:
    """Say in one sentence what an attribute's auto holds achieve.

    Args:
        name: the attribute in plain words.
        row: the attribute's row of `Effects.at_half`.
    """
    none, auto, two = row.get("none"), row.get("auto"), row.get("two")
    if none is None and auto is None:
        return f"{name}: too few faces flip for holds to be compared ({row['share']:.0%})"
    where = f"where {row['share']:.0%} of the faces flip"
    if auto is None:
        return f"{name}: with auto holds too few faces flip to compare"
    if none is None:
        return (
            f"{name}: {where} (step {auto['magnitude']:.1f}), others change by "
            f"{auto['leakage']:.4f} with auto holds"
        )
    if not none["leakage"]:
        return f"{name}: nothing else changes"
    text = (
        f"{name}: {where} (step {auto['magnitude']:.1f}), others change by "
        f"{auto['leakage']:.4f} with auto holds, {none['leakage']:.4f} with none "
        f"({auto['leakage'] / none['leakage'] - 1:+.0%})"
    )
    return text if two is None else f"{text}, {two['leakage']:.4f} holding the two most similar"


@dataclass(frozen=True)
class Reduction:
    """How much less one kind of holds leaks than another.

    Attributes:
        share: averaged over the attributes where both can be compared; 0.3 is 30 %.
        compared: how many attributes can be compared.
        attributes: how many attributes were measured.
        unreached: attributes where only the other kind flips enough faces to be compared.
    """

    share: float
    compared: int
    attributes: int
    unreached: tuple[str, ...]

    def in_words(self, against: str) -> str:
        """Say it in one sentence about auto holds.

        Args:
            against: the other kind in words, such as ``no holds``.
        """
        text = (
            f"auto holds leak {self.share:.0%} less than {against}, averaged over the "
            f"{self.compared} of {self.attributes} attributes that can be compared"
        )
        if not self.unreached:
            return text
        names = ", ".join(display_name(name) for name in self.unreached)
        return f"{text}; with auto holds too few faces flip of: {names}"


def reduction(effects: Effects, mode: str = "auto", against: str = "none") -> Reduction | None:
    """Compare two kinds of holds; None where no attribute can be compared."""
    rows = effects.at_half()
    other = {name for name, row in rows.items() if row.get(against) and row[against]["leakage"]}
    both = [name for name in rows if name in other and rows[name].get(mode)]
    if not both:
        return None
    shares = [1 - rows[name][mode]["leakage"] / rows[name][against]["leakage"] for name in both]
    unreached = tuple(name for name in rows if name in other and name not in both)
    return Reduction(sum(shares) / len(shares), len(both), len(rows), unreached)
