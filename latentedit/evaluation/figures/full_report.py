"""The whole evaluation in one HTML page, part by part; each part can be made alone.

Every part writes its figures as JSON and its pictures as PNG into the report's folder, and the page
is put together from what lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from latentedit import defaults
from latentedit.attributes import display_name
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.unsupervised import find_directions, name_by_attributes
from latentedit.editing.editor import FaceEditor
from latentedit.editing.strips import direction_sheet, edit_strip
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.aging import SlowJudges, evaluate_age, installed_judges
from latentedit.evaluation.edits.curves import OF_MOST
from latentedit.evaluation.edits.effects import FILE, Effects, frontier
from latentedit.evaluation.edits.measure import Plan, Reduction, measure, open_traces, reduction
from latentedit.evaluation.edits.traces import Track, no_bar
from latentedit.evaluation.figures import drawings
from latentedit.evaluation.figures.brought import (
    bring_methods,
    bring_photos,
    show_methods,
    show_photos,
)
from latentedit.evaluation.figures.html import Cell, Section, Table, bad, good, page
from latentedit.evaluation.figures.slides import boundary_rows
from latentedit.io.cards import check_report
from latentedit.io.files import atomic_path, make_folder, read_json, write_json
from latentedit.io.images import save_image

STRIPS = ("Young", "Male", "Smiling", "Eyeglasses", "Blond_Hair", "Bangs")
"""Attributes shown as film strips."""

PAGE = "index.html"
ORIGINS = "origins.json"
"""Name of the file that says what each part in the folder was made from, see `_origin`."""


@dataclass(frozen=True)
class Settings:
    """How much goes into a report.

    Attributes:
        work: folder that keeps what was measured.
        plan: how much is measured for the effects.
        typical: number of unedited faces that say what is typical.
        age_faces: number of faces that are aged.
        seed: the face on the strips.
        directions: number of unlabelled directions of each kind.
        judges: slow networks that measure ages and identities too.
        effects: file of effects that were measured already with the bundle's boundaries; if None,
            they are measured.
        methods: folder that ``evaluate methods`` wrote, for its part of the report.
        photos: JSON file that ``evaluate photos`` wrote, for its part; the sheet lies beside it
            and ends in .png.
    """

    work: Path
    plan: Plan = field(default_factory=Plan)
    typical: int = defaults.TYPICAL_FACES
    age_faces: int = defaults.AGE_FACES
    seed: int = defaults.SEED
    directions: int = 10
    judges: SlowJudges = field(default_factory=installed_judges)
    effects: Path | None = None
    methods: Path | None = None
    photos: Path | None = None


def build_report(
    editor: FaceEditor,
    folder: str | Path,
    settings: Settings,
    *,
    parts: Sequence[str] | None = None,
    track: Track = no_bar,
) -> Path:
    """Make parts of the report, and the page of all parts in the folder that fit the model.

    Args:
        editor: with classifier and boundaries.
        folder: the report's.
        settings: how much.
        parts: of `PARTS`; all that can be made by default.
        track: draws progress bars.

    Returns:
        The page's path.

    Raises:
        LatentEditError: a part is unknown or cannot be made, or the folder is a bundle's.
    """
    folder = make_folder(folder)
    for name in _chosen(parts, settings):
        check_report(folder / f"{name}.json")  # it may be a card of a bundle
    path, origins = folder / PAGE, folder / ORIGINS
    found = read_json(origins) if origins.is_file() else {}
    made_of: dict[str, Any] = found if isinstance(found, dict) else {}
    for name in _chosen(parts, settings):
        made_of[name] = None  # a half-made part must not be shown
        write_json(origins, made_of)
        PARTS[name].make(editor, folder, settings, track)
        made_of[name] = _origin(editor, name)
        write_json(origins, made_of)
        _write_page(path, editor, made_of)  # so that there is a page if the next part fails
    return path


def share_report(
    editor: FaceEditor, settings: Settings, *, parts: Sequence[str] | None = None
) -> None:
    """Measure what `build_report` measures, together with the process that builds the page.

    Raises:
        LatentEditError: see `build_report`.
    """
    for name in _chosen(parts, settings):
        if share := PARTS[name].share:
            share(editor, settings, no_bar)


def _chosen(parts: Sequence[str] | None, settings: Settings) -> Sequence[str]:
    if not parts:
        return [name for name, part in PARTS.items() if part.possible(settings)]
    for name in parts:
        if name not in PARTS:
            raise LatentEditError(f"no part {name!r}: choose from {', '.join(PARTS)}")
        if not PARTS[name].possible(settings):
            raise LatentEditError(
                f"the part {name} shows what 'latentedit evaluate {name}' wrote: give --{name}"
            )
    for name in ("methods", "photos"):
        if getattr(settings, name) is not None and name not in parts:
            raise LatentEditError(f"--{name} is for the part {name}: leave it out, or add the part")
    return parts


def _origin(editor: FaceEditor, part: str) -> list[str]:
    """Return hashes of the networks and measured boundaries that a part is made from."""
    networks = [editor.generator_hash, editor.classifier_hash]
    if part == "directions":
        return networks
    return [*networks, *([editor.age_hash or ""] if part == "age" else []), editor.boundaries.hash]


# ---- what other commands measured


def _make_methods(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    assert settings.methods is not None
    bring_methods(editor, folder, settings.methods)


def _make_photos(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    assert settings.photos is not None
    bring_photos(editor, folder, settings.photos)


def _write_page(path: Path, editor: FaceEditor, made_of: Mapping[str, Any]) -> None:
    """Write the page from the parts that lie beside it and fit this editor."""
    folder = path.parent
    words = [
        f"Model {editor.name}, generator {editor.generator_hash}. Every face here is generated.",
        "Each part's figures lie beside this page as JSON.",
    ]
    try:
        made = [
            PARTS[name].show(folder)
            for name in PARTS
            if (folder / f"{name}.json").is_file() and made_of.get(name) == _origin(editor, name)
        ]
        html = page(f"latentedit: {editor.name}", words, made)
    except OSError as error:  # a picture cannot be read
        raise LatentEditError(
            f"cannot read {error.filename}, a picture of the page: make its part again"
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


# ---- boundaries


def _make_boundaries(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    write_json(folder / "boundaries.json", boundary_rows(editor.boundaries))


def _show_boundaries(folder: Path) -> Section:
    rows: dict[str, dict[str, Any]] = read_json(folder / "boundaries.json")
    headings = ("attribute", "size", "train", "test", "slides", "F1", "slides", "ROC AUC", "AP")
    lines, won = [], 0
    for name, row in rows.items():
        cells: list[str | Cell] = [display_name(name) + (" (rare)" if row["rare"] else "")]
        cells += [_number(row.get("samples"), 0), _number(row.get("train_accuracy"))]
        both = True
        for key in ("accuracy", "f1"):
            ours, theirs = row.get(key), row.get(f"slides_{key}")
            better = ours is not None and theirs is not None and ours > theirs
            both &= better
            mark = (good if better else bad) if theirs is not None else str
            cells += [mark(_number(ours)), _number(theirs)]
        won += both
        cells += [_number(row.get("roc_auc")), _number(row.get("average_precision"))]
        lines.append([*cells, _number(row.get("prevalence"))])
    return Section(
        "Boundaries",
        (
            "Linear SVMs on latents; test figures on held-out latents at natural prevalence, the "
            "threshold chosen on validation latents.",
            f"{won} of {len(rows)} are above the slides in both test accuracy and F1.",
        ),
        (Table((*headings, "share"), lines),),
    )


# ---- effects


def _make_effects(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    boundaries = editor.boundaries
    if settings.effects is not None:
        effects = Effects.load(settings.effects)
        if effects.facts.get("boundaries") != boundaries.normals_hash:
            raise LatentEditError(
                f"{settings.effects} was measured with other boundaries: measure again with "
                "'latentedit boundaries measure'"
            )
    else:
        boundaries, effects = _measure_effects(editor, settings, track)
    effects.save(folder / FILE.replace("effects", "matrix"))
    drawings.plot_effects(folder / "effects.png", effects)
    drawings.plot_calibrations(folder / "calibrations.png", boundaries)
    drawings.plot_frontier(folder / "frontier.png", frontier(effects))
    at_half = effects.at_half()
    write_json(
        folder / "effects.json",
        {
            "facts": dict(effects.facts),
            "faces": effects.faces,
            "at_half": at_half,
            "safe_ranges": {name: boundaries.safe_range(name) for name in effects.attributes},
            "calibrations": {
                name: found.as_dict()
                for name in effects.attributes
                if (found := boundaries.calibration(name))
            },
            "auto_holds": {
                name: dict(boundaries.auto.get(name, {})) for name in effects.attributes
            },
            "reduction": {
                against: asdict(less)
                for against in ("none", "one", "two")
                if (less := reduction(effects, "auto", against))
            },
            "frontier": frontier(effects),
        },
    )


def _measure_effects(
    editor: FaceEditor, settings: Settings, track: Track
) -> tuple[Boundaries, Effects]:
    folder = settings.work / "measure"
    traces = open_traces(editor, folder, typical=settings.typical, track=track)
    return measure(traces, settings.plan, choose=False, track=track)


def _share_effects(editor: FaceEditor, settings: Settings, track: Track) -> None:
    if settings.effects is None:
        _measure_effects(editor, settings, track)


def _show_effects(folder: Path) -> Section:
    report: dict[str, Any] = read_json(folder / "effects.json")
    modes = ("none", "one", "two", "auto", "all")
    lines = []
    # a report of an earlier version has one number for all attributes
    faces = report.get("faces") or dict.fromkeys(report["at_half"], report["facts"]["faces"])
    for name, row in report["at_half"].items():
        low, high = report["safe_ranges"][name]
        auto = row.get("auto") or {}
        cells = [display_name(name), str(faces[name])]
        cells += [f"{low:+.1f} to {high:+.1f}", f"{row['share']:.0%}"]
        cells += [_number(auto.get("magnitude"), 2)]
        cells += [_number((row.get(mode) or {}).get("leakage"), 4) for mode in modes]
        cells += [_number(auto.get("identity")), _number(auto.get("dlib"))]
        lines.append([*cells, str(len(report["auto_holds"][name]))])
    headings = (
        *("attribute", "faces", "safe steps", "flipped", "step, auto"),
        *(f"leak, {mode}" for mode in modes),
    )
    words = [
        "Leakage is the mean absolute change of the other attributes' probabilities at the step "
        f"where half of the faces flip, or {OF_MOST:.0%} of the most that flip without holds. "
        "Holds: nothing; InterFaceGAN's projection on the one and the two most similar boundaries; "
        "the measured auto holds; everything.",
        *(
            f"The {Reduction(**found).in_words(drawings.MODE_NAMES[against])}."
            for against, found in report["reduction"].items()
        ),
    ]
    return Section(
        "Effects",
        words,
        (Table((*headings, "identity", "dlib", "holds"), lines),),
        (
            (folder / "effects.png", "Mean change of each probability (columns) by one step"),
            (folder / "frontier.png", "Target change against leakage, averaged over attributes"),
            (folder / "calibrations.png", "Expected probability by step; safe ranges shaded"),
        ),
    )


# ---- strips and directions


def _make_strips(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    z = editor.sample([settings.seed])
    shown = {}
    known = {*editor.boundaries.names} & {*editor.attributes}
    for name in (name for name in STRIPS if name in known):
        low, high = editor.boundaries.safe_range(name)
        column = editor.attributes.index(name)
        has = editor.score(editor.render(z, editor.judged_size))[0, column] > 0.5
        recipe = editor.recipe({name: low if has else high}, seeds=[settings.seed])
        strip = edit_strip(editor, z, recipe)
        save_image(folder / f"strip-{name}.png", strip.draw())
        shown[name] = strip.summary()
    write_json(folder / "strips.json", shown)


def _show_strips(folder: Path) -> Section:
    names = list(read_json(folder / "strips.json"))
    pictures = [(folder / f"strip-{name}.png", display_name(name)) for name in names]
    words = "One face to the end of each safe range, or of the default where none was measured."
    return Section("Film strips", (words,), (), pictures)


def _make_directions(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    first = defaults.EVALUATION_FIRST_SEED
    report = {}
    for method in ("sefa", "pca"):
        found = editor.as_edited(find_directions(editor, method, settings.directions))
        moves = name_by_attributes(editor, found, range(first, first + 32))
        labels = [[f"{name} {change:+.2f}" for name, change in each.changes] for each in moves]
        sheet = direction_sheet(editor, found, labels, settings.seed)
        save_image(folder / f"{method}.png", sheet)
        report[method] = {each.name: dict(each.changes) for each in moves}
    write_json(folder / "directions.json", report)


def _show_directions(folder: Path) -> Section:
    return Section(
        "Directions without labels",
        ("Named by the attributes that they move most, from step -2 to 2.",),
        (),
        (
            (folder / "sefa.png", "SeFa: the first layer in closed form"),
            (folder / "pca.png", "GANSpace: principal components of early features"),
        ),
    )


# ---- age


def _make_age(editor: FaceEditor, folder: Path, settings: Settings, track: Track) -> None:
    report = _measure_age(editor, settings, track, images=folder / "age")
    drawings.plot_aging(folder / "age.png", report)
    write_json(folder / "age.json", report)


def _measure_age(
    editor: FaceEditor, settings: Settings, track: Track, *, images: Path | None = None
) -> dict[str, Any]:
    return evaluate_age(
        editor,
        settings.work / "age",
        settings.age_faces,
        judges=settings.judges,
        images=images,
        track=track,
    )


def _show_age(folder: Path) -> Section:
    report: dict[str, Any] = read_json(folder / "age.json")
    slides = report["slides"]
    rows = []
    for name, row in report["years"].items():
        low, high = row["interval"]
        label = f"years, {name.replace('_', '-')} estimator"
        rows.append([label, f"{row['mean']:.1f} ({low:.1f} to {high:.1f})", f"{slides['years']}"])
        rows.append(["the same, with their sign", f"{row['signed']:.1f}", ""])
    rows += [[f"identity, {name}", f"{v:.3f}", ""] for name, v in report["identity"].items()]
    for name, pair in report.get("person", {}).items():
        for whose, value in pair.items():
            rows.append([f"dlib, {name.replace('_', ' ')}, {whose}", f"{value:.3f}", ""])
    rows += [[f"{display_name(name)} kept", f"{v:.1%}", ""] for name, v in report["kept"].items()]
    steps = report["steps"]
    examples = sorted((folder / "age").glob("*.png"))[:6]
    return Section(
        "Age",
        (
            f"{report['n']} faces moved along Young by {steps['young']:+.2f} and "
            f"{steps['old']:+.2f}; the slides report {slides['years']} years on {slides['n']:,}.",
        ),
        (Table(("figure", "here", "slides"), rows),),
        (
            (folder / "age.png", "Years between young and old; what identity that costs"),
            *((path, "Young, original and old, with estimated ages") for path in examples),
        ),
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


@dataclass(frozen=True)
class _Part:
    """How a part is made (JSON and PNG files) and shown.

    `share` is for parts that take long: it does the work that other processes can share. `possible`
    says whether the settings have what the part needs.
    """

    make: Callable[[FaceEditor, Path, Settings, Track], None]
    show: Callable[[Path], Section]
    share: Callable[[FaceEditor, Settings, Track], object] | None = None
    possible: Callable[[Settings], bool] = lambda settings: True


PARTS: Mapping[str, _Part] = {
    "boundaries": _Part(_make_boundaries, _show_boundaries),
    "effects": _Part(_make_effects, _show_effects, _share_effects),
    "strips": _Part(_make_strips, _show_strips),
    "directions": _Part(_make_directions, _show_directions),
    "age": _Part(_make_age, _show_age, _measure_age),
    "methods": _Part(
        _make_methods, show_methods, possible=lambda settings: settings.methods is not None
    ),
    "photos": _Part(
        _make_photos, show_photos, possible=lambda settings: settings.photos is not None
    ),
}
"""Parts of the report, in order."""
