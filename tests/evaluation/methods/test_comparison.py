"""Methods compared on a tiny model: equal effect, paired figures, going on, reports."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run
from PIL import Image

from latentedit.boundaries.model import Boundaries
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import sigmoid
from latentedit.evaluation.methods import comparison as module
from latentedit.evaluation.methods.base import Found, Material, Method
from latentedit.evaluation.methods.comparison import Comparison, Plan, compare
from latentedit.evaluation.methods.registry import find_methods
from latentedit.evaluation.methods.report import (
    build_report,
    judged,
    ranked,
    standing_in_words,
    to_markdown,
)
from latentedit.pretrained.bundles import load_classifier, load_generator
from latentedit.pretrained.model import BOUNDARIES_FILE

PLAN = Plan(faces=12, share=0.25, reference=40, typical=16, trials=2)


@pytest.fixture(autouse=True)
def _no_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed_witnesses", lambda judge: ())


NAME = "Young"


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    """Half of its faces have every attribute."""
    editor = FaceEditor(
        load_generator(tiny_bundle)[0],  # type: ignore[arg-type]
        load_classifier(tiny_bundle)[0],
        boundaries=Boundaries.load(tiny_bundle / BOUNDARIES_FILE),
    )
    logits = editor.logits_features_and_maps(editor.render(editor.sample(range(100))))[0]
    with torch.no_grad():
        editor.classifier.head.bias -= torch.from_numpy(np.median(logits, axis=0))
    return editor


def test_all_methods_are_measured_where_as_many_faces_flip(
    editor: FaceEditor, tmp_path: Path
) -> None:
    name, methods = NAME, find_methods(["none", "mean-difference", "auto", "channel"])
    comparison = Comparison(editor, tmp_path / "w", PLAN)
    rows = compare(comparison, methods, [name])
    share, measured = rows[name]
    reached = [done for done in measured.values() if done.search and done.search.step]
    assert reached
    for done in reached:
        assert done.found is not None
        assert done.search is not None
        step = done.search.step
        assert step is not None
        z = comparison.edited(done.found, name, step, slice(None))
        logits = editor.logits_features_and_maps(editor.render(z))[0]
        before = editor.logits_features_and_maps(editor.render(comparison.latents))[0]
        column = editor.attributes.index(name)
        crossed = ((logits[:, column] > 0) != (before[:, column] > 0)).mean()
        assert crossed == pytest.approx(
            done.search.shares[done.search.steps.index(step)], abs=1 / 12 + 1e-9
        )
        change = np.abs(sigmoid(logits) - sigmoid(before))
        leak = np.delete(change, column, axis=1).mean()
        kept = comparison.leakage(done.found, done.seen["logits"], name).mean()
        assert kept == pytest.approx(leak, abs=2e-3)  # a batch of another size, to a rounding
    assert measured["channel"].found is None
    assert "channels" in measured["channel"].why
    assert 0 < share <= 0.25


def test_a_second_run_renders_nothing(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, methods = NAME, find_methods(["none", "sefa", "auto"])

    def report() -> dict[str, object]:
        comparison = Comparison(editor, tmp_path / "w", PLAN)
        return build_report(comparison, methods, compare(comparison, methods, [name]))

    first = report()
    monkeypatch.setattr(type(editor), "render", None)
    assert report() == first
    json.dumps(first)


def test_other_faces_and_sizes_are_other_measurements(editor: FaceEditor, tmp_path: Path) -> None:
    one, other = (
        Comparison(editor, tmp_path / "w", replace(PLAN, seed=seed)).originals["logits"]
        for seed in (0, 1)
    )
    assert not np.array_equal(one, other)
    small = Comparison(editor, tmp_path / "w", replace(PLAN, size=8)).originals["logits"]
    assert not np.array_equal(one, small)
    with pytest.raises(LatentEditError, match="size"):
        Comparison(editor, tmp_path / "w", replace(PLAN, size=4096))


def nowhere(material: Material, attribute: str) -> Found:
    return Found(np.zeros(material.editor.latent_dim))


def test_a_first_method_that_flips_nothing_leaves_nothing_to_compare(
    editor: FaceEditor, tmp_path: Path
) -> None:
    still = Method("still", "still", "nobody", nowhere)
    comparison = Comparison(editor, tmp_path / "w", PLAN)
    rows = compare(comparison, [still], ["Young"])
    report = build_report(comparison, [still], rows)
    assert report["attributes"]["Young"]["winner"] is None
    assert report["attributes"]["Young"]["methods"]["still"]["most"] == 0
    assert report["ours"] is None
    assert standing_in_words(report) == []
    assert "(0%)" in to_markdown(report)


@pytest.mark.parametrize(
    "wrong", [{"faces": 1}, {"share": 0.0}, {"share": 1.0}, {"seed": 40}, {"faces": 100_001}]
)
def test_plans_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LatentEditError):
        Plan(**wrong)  # type: ignore[arg-type]


def test_a_judges_word_is_split_into_target_and_leakage() -> None:
    before, after = np.array([[0.1, 0.5], [0.9, 0.2]]), np.array([[0.8, 0.6], [0.7, 0.4]])
    found = judged(before, after, ("Young", "other"), "Young")  # type: ignore[arg-type]
    assert found == {"judged": pytest.approx(0.15), "agreed": 0.5}
    assert judged(before, after, ("a", "b"), "Young").keys() == {"judged"}  # type: ignore[arg-type]


def test_what_leaks_least_wins() -> None:
    rows = {"a": {"leakage": 0.2}, "b": {"most": 0.1}, "c": {"leakage": 0.1}, "d": {"why": "no"}}
    assert ranked(rows) == ["c", "a"]


def test_the_command_writes_a_report(tiny_bundle: Path, run: Run) -> None:
    words = (
        "evaluate",
        "methods",
        "--model",
        tiny_bundle,
        "--faces",
        "4",
        "--work",
        "w",
        "-o",
        "r",
    )
    pool = ("pool", "build", "--model", tiny_bundle, "-n", "150", "-o", "pool")
    assert run(*pool).code == 0
    done = run(
        *words, "--attributes", "Young,smiling", "--methods", "none,auto", "--pool", "pool",
        "--directions", f"mine={tiny_bundle / 'boundaries.safetensors'}",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads(Path("r/report.json").read_text())
    assert list(report["attributes"]) == ["Young", "Smiling"]
    assert list(report["methods"]) == ["none", "auto", "mine"]
    with open("r/table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6
    for picture in ("faces.png", "frontiers.png", "methods.png"):
        with Image.open(Path("r") / picture) as image:
            assert image.width > 200
    assert Path("r/table.md").read_text() in done.out
    one_page = ("evaluate", "all", "--part", "methods", "-o", "rep", "--model", tiny_bundle)
    assert run(*one_page, "--methods", "r").code == 0
    page = Path("rep/index.html").read_text()
    assert "<h2>Methods compared</h2>" in page
    assert page.count("<img") == 3
    done = run(*one_page, "--methods", "nowhere")
    assert (done.code, "evaluate methods" in done.err) == (2, True)
    Path("r/report.json").write_text(json.dumps({**report, "boundaries": "0" * 16}))
    done = run(*one_page, "--methods", "r")
    assert (done.code, "other boundaries" in done.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--methods", "nobody"),
        ("--methods", " , "),
        ("--attributes", "Nobody"),
        ("--directions", "file.npy"),
        ("--directions", "mine=missing.npy"),
        ("--size", "5000"),
        ("--share", "2"),
        ("--pool", "missing"),
        ("--judge", "missing.onnx"),
    ],
)
def test_bad_input_is_one_line(tiny_bundle: Path, run: Run, words: tuple[str, str]) -> None:
    start = ("evaluate", "methods", "--model", tiny_bundle, "--faces", "2", "-o", "r", "--work")
    done = run(*start, "w", *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
