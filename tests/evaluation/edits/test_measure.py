"""Measuring a tiny model from end to end: holds, effects, ranges, calibrations, the commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_CLASSIFIER, TINY_GENERATOR
from conftest import exit_code as call

from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.unsupervised import find_directions
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.effects import Effects, frontier
from latentedit.evaluation.edits.measure import (
    Plan,
    Reduction,
    holds_in_words,
    measure,
    measured_attributes,
    open_traces,
    reduction,
)
from latentedit.evaluation.figures.full_report import Settings, build_report, share_report
from latentedit.generators.progressive import Generator
from latentedit.pretrained.hashing import weights_hash

PLAN = Plan(faces=10, hold_faces=10, modes=("none", "two", "auto", "all"), search_latents=200)


def test_measuring_fills_in_what_was_not_known(tiny_bundle: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(tiny_bundle)
    traces = open_traces(editor, tmp_path / "w", typical=60)
    boundaries, effects = measure(traces, PLAN, attributes=["young", "Male"])
    assert effects.attributes == ("Young", "Male")
    assert effects.means["probability"].shape == (4, 2, 7, 40)
    for name in effects.attributes:
        assert name not in boundaries.auto[name]
        calibration = boundaries.calibration(name)
        assert calibration is not None
        assert calibration.steps[0] == -6
        low, high = boundaries.safe_range(name)
        assert -6 <= low < 0 < high <= 6
    assert boundaries.calibration("Smiling") is None
    z = editor.sample(PLAN.seeds)
    held = dict(boundaries.auto["Young"])
    moved = editor.score(editor.render(editor.edit(z, {"Young": 2.0}, held)))
    change = (moved - editor.score(editor.render(z))).mean(0)
    row = effects.means["probability"][effects.modes.index("auto"), 0, 5]
    np.testing.assert_allclose(row, change, atol=2e-3)


def test_measuring_goes_on_where_it_stopped(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = FaceEditor.load(tiny_bundle)
    plan = Plan(faces=4, hold_faces=4, modes=("none", "auto"))
    first = measure(
        open_traces(editor, tmp_path / "w", typical=50), plan, attributes=["Young"], choose=False
    )
    monkeypatch.setattr(editor, "render", None)
    again = measure(
        open_traces(editor, tmp_path / "w", typical=50), plan, attributes=["Young"], choose=False
    )
    np.testing.assert_array_equal(first[1].means["logit"], again[1].means["logit"])
    assert first[0].calibrations == again[0].calibrations
    assert first[0].auto == editor.boundaries.auto


def test_unknown_attributes_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    traces = open_traces(FaceEditor.load(tiny_bundle), tmp_path / "w", typical=50)
    with pytest.raises(LatentEditError, match="did you mean 'Young'"):
        measure(traces, PLAN, attributes=["Yuong"])


def test_a_damaged_trace_is_reported_and_not_left_out(tiny_bundle: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(tiny_bundle)
    plan = Plan(faces=4, modes=("none", "auto"))

    def again() -> Effects:
        traces = open_traces(editor, tmp_path / "w", typical=50)
        return measure(traces, plan, attributes=["Young"], choose=False)[1]

    again()
    for path in (tmp_path / "w").glob("Young-*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(LatentEditError, match="is damaged: delete it and run again"):
        again()


def test_what_the_classifier_does_not_score_is_left_out(tiny_bundle: Path, tmp_path: Path) -> None:
    known = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    names, rows = ("Young", "wink"), slice(0, 2)
    few = Boundaries(names, known.normals[rows], known.biases[rows], known.generator_hash)
    few.save(tiny_bundle / "boundaries.safetensors")
    traces = open_traces(FaceEditor.load(tiny_bundle), tmp_path / "w", typical=50)
    plan = Plan(faces=4, modes=("none", "auto"))
    assert measure(traces, plan, choose=False)[1].attributes == ("Young",)
    with pytest.raises(LatentEditError, match="does not score wink"):
        measure(traces, plan, attributes=["Young", "wink"], choose=False)


def test_a_classifier_of_one_attribute(tiny_generator: Generator, tmp_path: Path) -> None:
    torch.manual_seed(1)
    classifier = AttributeClassifier(replace(TINY_CLASSIFIER, attributes=("wink",))).eval()
    normals = np.eye(64)[:1]
    boundaries = Boundaries(("wink",), normals, np.zeros(1), weights_hash(tiny_generator))
    editor = FaceEditor(tiny_generator, classifier, boundaries=boundaries)
    traces = open_traces(editor, tmp_path / "w", typical=50)
    plan = Plan(faces=4, search_latents=100)
    with pytest.raises(LatentEditError, match="--keep-holds"):
        measure(traces, plan)
    _, effects = measure(traces, plan, choose=False)
    assert not effects.curves["none"]["wink"].leakage.any()


def test_holds_in_words() -> None:
    none, auto = {"magnitude": 1.0, "leakage": 0.1}, {"magnitude": 2.0, "leakage": 0.06}
    row = {"share": 0.5, "none": none, "auto": auto, "two": {"leakage": 0.09}}
    assert holds_in_words("Young", row) == (
        "Young: where 50% of the faces flip (step 2.0), others change by 0.0600 with auto holds, "
        "0.1000 with none (-40%), 0.0900 holding the two most similar"
    )
    assert "too few faces flip" in holds_in_words("Young", {"share": 0.0, "none": None})
    uncompared = holds_in_words("Young", {"share": 0.5, "none": None, "auto": auto})
    assert "0.0600 with auto holds" in uncompared
    assert "none" not in uncompared
    assert "with auto holds too few" in holds_in_words("Young", {**row, "auto": None})
    alone = {"magnitude": 1.0, "leakage": 0.0}
    assert "nothing else" in holds_in_words("Young", {"share": 0.5, "none": alone, "auto": alone})


SEARCH = ("--hold-faces", 8, "--search-latents", 100)


@pytest.fixture
def measured(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, tuple[object, ...]]:
    monkeypatch.chdir(tmp_path)
    words = ("--attr", "Young", "--faces", 8, "--typical", 50)
    return tiny_bundle, ("boundaries", "measure", "--model", tiny_bundle, "--work", "w", *words)


def test_the_command_updates_the_bundle(
    measured: tuple[Path, tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, command = measured
    command = (*command, *SEARCH)
    before = json.loads((bundle / "boundaries.json").read_text())
    assert call(*command, "--dry-run") == 0
    assert json.loads((bundle / "boundaries.json").read_text()) == before
    assert call(*command, "--plot", "heat.png") == 0
    assert Path("heat.png").is_file()
    assert "Young: safe from" in capsys.readouterr().out
    card = json.loads((bundle / "boundaries.json").read_text())
    assert list(card["safe_ranges"]) == list(card["calibrations"]) == ["Young"]
    assert "flipped" in card["figures"]["Young"]
    assert Boundaries.load(bundle / "boundaries.safetensors").calibration("young") is not None
    effects = Effects.load(bundle / "effects.safetensors")
    assert effects.facts["faces"] == 8
    assert FaceEditor.load(bundle).boundaries.safe_range("Young") == tuple(
        card["safe_ranges"]["Young"]
    )


def test_what_searches_no_holds_takes_no_search(
    measured: tuple[Path, tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, command = measured
    for words in (("--keep-holds", "--hold-faces", 8), ("--pool", "p", "--search-latents", 100)):
        assert call(*command, *words) == 2
        assert str(words[-2]) in capsys.readouterr().err


def test_the_command_compares_what_is_asked(
    measured: tuple[Path, tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, command = measured
    command = (*command, "--keep-holds")
    assert call(*command, "--compare", "sideways") == 2
    assert "no kind of holds 'sideways'" in capsys.readouterr().err
    assert call(*command, "--compare", "two, none", "--plot", "heat.png") == 0
    assert Effects.load(bundle / "effects.safetensors").modes == ("none", "two", "auto")
    other = ["Male" if word == "Young" else word for word in command]
    assert call(*other, "--compare", "one") == 0
    effects = Effects.load(bundle / "effects.safetensors")
    assert (effects.attributes, effects.modes) == (
        ("Young", "Male"),
        ("none", "one", "two", "auto"),
    )
    assert np.isnan(effects.curves["two"]["Male"].flipped).all()
    assert np.isnan(effects.curves["one"]["Young"].flipped).all()
    assert np.isnan(effects.curves["none"]["Male"].flipped).all()
    assert set(frontier(effects)) == {"none", "auto"}
    assert call(*command, "--compare", "none") == 0
    assert Effects.load(bundle / "effects.safetensors").modes == ("none", "one", "auto")


def test_auto_holds_can_be_measured_alone(
    measured: tuple[Path, tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, command = measured
    assert call(*command, "--keep-holds", "--compare", "auto", "--plot", "heat.png") == 0
    assert "leak" not in capsys.readouterr().out.replace("leakage", "")
    effects = Effects.load(bundle / "effects.safetensors")
    assert effects.modes == ("auto",)
    assert set(frontier(effects)) == {"auto"}
    assert reduction(effects) is None
    assert "Young" in Boundaries.load(bundle / "boundaries.safetensors").safe_ranges


def test_less_leakage_is_averaged_over_what_can_be_compared() -> None:
    def row(none: float | None, auto: float | None) -> dict[str, Any]:
        found = {"none": none, "auto": auto}
        return {mode: None if leak is None else {"leakage": leak} for mode, leak in found.items()}

    rows = {"Young": row(0.2, 0.1), "Male": row(0.4, 0.3), "Bald": row(0.1, None)}
    rows["Bangs"] = row(None, 0.1)
    stand_in: Any = SimpleNamespace(at_half=lambda: rows)
    found = reduction(stand_in)
    assert found == Reduction(pytest.approx(0.375), 2, 4, ("Bald",))
    words = found.in_words("no holds")
    assert "leak 38% less than no holds, averaged over the 2 of 4 attributes" in words
    assert words.endswith("too few faces flip of: Bald")
    rows |= {"Bald": row(None, None)}
    assert "too few" not in reduction(stand_in).in_words("no holds")
    rows |= {"Young": row(0.2, None), "Male": row(None, 0.2)}
    assert reduction(stand_in) is None


def test_an_attribute_given_twice_is_measured_once(tiny_bundle: Path) -> None:
    editor = FaceEditor.load(tiny_bundle)
    spelt = ["Young", "young", "Male", "YOUNG"]
    chosen = measured_attributes(editor.boundaries, editor.attributes, spelt)
    assert chosen == ["Young", "Male"]


def test_effects_of_boundaries_that_are_no_more_do_not_go_silently(
    measured: tuple[Path, tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, command = measured
    assert call(*command, "--keep-holds") == 0
    path = bundle / "boundaries.safetensors"
    known = Boundaries.load(path)
    Boundaries.save(replace(known, normals=known.normals[::-1].copy()), path)
    other = ["Male" if word == "Young" else word for word in command]
    other[other.index("w")] = "w2"
    capsys.readouterr()
    assert call(*other, "--keep-locks") == 0  # as it was called before
    assert "1 other attributes" in capsys.readouterr().err
    assert Effects.load(bundle / "effects.safetensors").attributes == ("Male",)


def test_the_command_keeps_other_attributes(
    measured: tuple[Path, tuple[object, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, command = measured
    file, command = bundle / "effects.safetensors", (*command, "--keep-holds")
    assert call(*command) == 0
    before = Effects.load(file)
    other = ["Male" if word == "Young" else word for word in command]
    more = [12 if word == 8 else word for word in other]
    card = file.with_suffix(".json")
    text = card.read_text()
    entries = json.loads(text)
    for fact, value in (("first_seed", 1), ("precision", "bfloat16")):
        card.write_text(json.dumps(entries | {"facts": entries["facts"] | {fact: value}}))
        assert call(*other) == 2
        assert f"with another {fact} ({value}, now" in capsys.readouterr().err
    card.write_text(text)

    def meanwhile(*arguments: object, **options: object) -> object:
        done = measure(*arguments, **options)  # type: ignore[arg-type]
        known = Boundaries.load(bundle / "boundaries.safetensors")
        ranges = {**known.safe_ranges, "Bangs": (-1.0, 1.0)}
        replace(known, safe_ranges=ranges).save(bundle / "boundaries.safetensors")
        return done

    with monkeypatch.context() as patch:
        patch.setattr("latentedit.evaluation.edits.measure.measure", meanwhile)
        patch.setattr("sys.argv", ["latentedit", "measure", "Male"])
        assert call(*other) == 0
    assert {*Boundaries.load(bundle / "boundaries.safetensors").safe_ranges} == {
        *("Young", "Male", "Bangs")
    }
    after = Effects.load(file)
    assert after.attributes == ("Young", "Male")
    for name, values in before.means.items():
        np.testing.assert_array_equal(after.means[name][:, 0], values[:, 0])
    assert len(json.loads(file.with_suffix(".json").read_text())["commands"]) == 2
    flipped = [found.curves["auto"]["Young"].flipped for found in (before, after)]
    np.testing.assert_array_equal(*flipped)
    assert call(*more) == 0
    assert Effects.load(file).faces == {"Young": 8, "Male": 12}


@pytest.fixture
def few_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report finds two of a kind, from fewer latents."""

    def find(editor: FaceEditor, method: str, k: int) -> Boundaries:
        return find_directions(editor, method, min(k, 2), count=500)

    monkeypatch.setattr("latentedit.evaluation.figures.full_report.find_directions", find)


@pytest.mark.usefixtures("few_directions")
def test_another_process_measures_what_the_report_needs(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = FaceEditor.load(tiny_bundle)
    known = loaded.boundaries
    two = Boundaries(known.names[:2], known.normals[:2], known.biases[:2], known.generator_hash)
    editor = FaceEditor(loaded.generator, loaded.classifier, boundaries=two)
    plan = Plan(faces=4, modes=("none", "auto"))
    settings, folder = Settings(work=tmp_path / "work", plan=plan, typical=50), tmp_path / "rep"
    share_report(editor, settings, parts=["boundaries", "effects", "strips"])
    assert not folder.exists()
    monkeypatch.setattr(editor, "render", None)  # all is seen already
    build_report(editor, folder, settings, parts=["boundaries", "effects"])
    assert set(json.loads((folder / "effects.json").read_text())["at_half"]) == set(two.names)
    with pytest.raises(LatentEditError, match="choose from"):
        share_report(editor, settings, parts=["bounds"])


def test_the_report_is_one_page(
    measured: tuple[Path, tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, command = measured
    assert call(*command) == 0
    for parts in (("boundaries", "strips", "directions"), ("effects",)):
        words = [word for part in parts for word in ("--part", part)]
        assert call("evaluate", "all", "-o", "rep", "--model", bundle, *words) == 0
    effects = Path("rep/effects.json")
    earlier = json.loads(effects.read_text())
    del earlier["faces"]  # one number for all attributes was enough
    effects.write_text(json.dumps(earlier))
    assert call("evaluate", "all", "-o", "rep", "--model", bundle, "--part", "boundaries") == 0
    page = Path("rep/index.html").read_text()
    for title in ("Boundaries", "Effects", "Film strips", "Directions without labels"):
        assert f"<h2>{title}</h2>" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert page.count("<img") == page.count("data:image/") == 3 + 6 + 2
    for name in ("boundaries", "effects", "strips", "directions"):
        assert json.loads(Path(f"rep/{name}.json").read_text())
    known = Boundaries.load(bundle / "boundaries.safetensors")
    turned = np.roll(known.normals, 1, axis=0)
    replace(known, normals=turned).save(bundle / "boundaries.safetensors")
    assert call("evaluate", "all", "-o", "rep", "--model", bundle, "--part", "effects") == 2
    assert "measured with other boundaries" in capsys.readouterr().err
    parts = ("--part", "boundaries", "--part", "effects")
    assert call("evaluate", "all", "-o", "rep2", "--model", bundle, *parts) == 2
    assert "<h2>Boundaries</h2>" in Path("rep2/index.html").read_text()
    capsys.readouterr()
    assert call("evaluate", "all", "-o", "rep", "--model", bundle, "--part", "bounds") == 2
    assert "choose from boundaries, effects" in capsys.readouterr().err


def test_strips_are_of_what_the_classifier_scores(
    tiny_bundle: Path, tiny_generator: Generator, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    classifier = AttributeClassifier(replace(TINY_CLASSIFIER, attributes=("Male", "wink"))).eval()
    boundaries = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    editor = FaceEditor(tiny_generator, classifier, boundaries=boundaries)
    build_report(editor, tmp_path / "rep", Settings(tmp_path / "w"), parts=["strips"])
    assert list(json.loads((tmp_path / "rep" / "strips.json").read_text())) == ["Male"]


def test_a_page_shows_one_generator(tiny_bundle: Path, tmp_path: Path) -> None:
    settings, first = Settings(tmp_path / "w"), FaceEditor.load(tiny_bundle)
    build_report(first, tmp_path / "rep", settings, parts=["boundaries"])
    generator = Generator(TINY_GENERATOR).eval()  # with other weights
    known = replace(first.boundaries, generator_hash=weights_hash(generator))
    other = FaceEditor(generator, first.classifier, boundaries=known)
    page = build_report(other, tmp_path / "rep", settings, parts=["strips"])
    assert "<h2>Film strips</h2>" in page.read_text()
    assert "<h2>Boundaries</h2>" not in page.read_text()
    build_report(other, tmp_path / "rep", settings, parts=["boundaries"])
    assert page.read_text().count("<h2>") == 2


@pytest.mark.usefixtures("few_directions")
def test_a_page_shows_what_is_of_these_boundaries(tiny_bundle: Path, tmp_path: Path) -> None:
    settings, first = Settings(tmp_path / "w"), FaceEditor.load(tiny_bundle)
    build_report(first, tmp_path / "rep", settings, parts=["strips", "directions"])
    measured = replace(first.boundaries, safe_ranges={"Young": (-1.0, 1.0)})
    other = FaceEditor(first.generator, first.classifier, boundaries=measured)
    page = build_report(other, tmp_path / "rep", settings, parts=["boundaries"])
    assert "<h2>Film strips</h2>" not in page.read_text()  # of other ranges
    assert "<h2>Directions without labels</h2>" in page.read_text()
    (tmp_path / "rep" / "sefa.png").unlink()
    with pytest.raises(LatentEditError, match=r"sefa\.png"):
        build_report(other, tmp_path / "rep", settings, parts=["boundaries"])


def test_half_of_a_part_is_not_shown(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, editor = Settings(tmp_path / "w"), FaceEditor.load(tiny_bundle)
    build_report(editor, tmp_path / "rep", settings, parts=["strips", "boundaries"])
    monkeypatch.setattr("latentedit.evaluation.figures.full_report.edit_strip", None)
    with pytest.raises(TypeError):
        build_report(editor, tmp_path / "rep", settings, parts=["strips"])
    page = build_report(editor, tmp_path / "rep", settings, parts=["boundaries"])
    assert "<h2>Film strips</h2>" not in page.read_text()


def test_no_report_takes_the_place_of_a_card(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, card = ("--model", tiny_bundle), tiny_bundle / "boundaries.json"
    before = card.read_bytes()
    for words in (
        ("evaluate", "all", "-o", tiny_bundle, "--part", "boundaries", *model),
        ("evaluate", "age", "--json", card, *model),
        ("boundaries", "fit", "--pool", "p", "-o", tiny_bundle / "b.safetensors", "--json", card),
    ):
        assert call(*words) == 2
        assert "is the card of" in capsys.readouterr().err
    assert card.read_bytes() == before
