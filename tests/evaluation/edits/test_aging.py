"""Ageing measured with an estimator that is known: years, intervals, the best step, going on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from latentedit.boundaries.model import Boundaries
from latentedit.cli import main
from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import EditRecipe
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits import aging
from latentedit.evaluation.edits.age_goals import SHARES, best
from latentedit.evaluation.edits.aging import (
    DrawnOnce,
    SlowJudges,
    bootstrap_interval,
    evaluate_age,
)
from latentedit.pretrained.bundles import load_classifier, load_generator
from latentedit.pretrained.model import BOUNDARIES_FILE

PLAIN = SlowJudges(independent=False, dlib=False)


def brightness(images: Tensor) -> Tensor:
    return (images.mean((1, 2, 3)) + 1) * 50


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return FaceEditor(
        load_generator(tiny_bundle)[0],  # type: ignore[arg-type]
        load_classifier(tiny_bundle)[0],
        brightness,
        Boundaries.load(tiny_bundle / BOUNDARIES_FILE),
    )


def test_years_are_those_between_both_ends(editor: FaceEditor, tmp_path: Path) -> None:
    report = evaluate_age(editor, tmp_path / "w", 7, step=2.0, judges=PLAIN, images=tmp_path / "i")
    first = report["seeds"]["first"]
    z = editor.sample(range(first, first + 7))
    young, old = (
        editor.age(editor.render(editor.edit(z, {"Young": step}))) for step in (2.0, -2.0)
    )
    row = report["years"]["built_in"]
    assert row["mean"] == pytest.approx(np.abs(old - young).mean(), rel=1e-5)
    low, high = row["interval"]
    assert low <= row["mean"] <= high
    assert sum(row["histogram"]["counts"]) == 7
    assert set(report["kept"]) == {"Male", "Smiling", "Eyeglasses"}
    assert list(report["identity"]) == ["classifier"]
    assert report["frontier"] is None
    pictures = sorted((tmp_path / "i").glob("*.png"))
    assert len(pictures) == 7
    with Image.open(pictures[0]) as picture:
        assert picture.width > 400
    assert json.loads(json.dumps(report)) == json.loads(json.dumps(report))


def test_auto_takes_the_best_step_within_the_safe_range(editor: FaceEditor, tmp_path: Path) -> None:
    report = evaluate_age(editor, tmp_path / "w", 5, judges=PLAIN)
    shares = [point["share"] for point in report["frontier"]]
    assert shares == sorted(shares)
    assert set(SHARES) < set(shares)
    share = shares[best(report["frontier"])]
    assert report["steps"] == {"old": round(-3 * share, 3), "young": round(3 * share, 3)}


def test_faces_can_be_kept(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undo(
        editor: FaceEditor, z: object, recipe: EditRecipe, *, hold: object, look: object
    ) -> tuple[EditRecipe, object]:
        return replace(recipe, steps={"Young": 0.0}), {}

    plain = evaluate_age(editor, tmp_path / "p", 5, step=3.0, judges=PLAIN)
    monkeypatch.setattr(aging, "keep_faces", undo)
    kept = evaluate_age(editor, tmp_path / "k", 5, step=3.0, keep=True, judges=PLAIN)
    assert (plain["keep"], kept["keep"]) == (False, True)
    assert plain["years"]["built_in"]["mean"] > kept["years"]["built_in"]["mean"] == 0
    with pytest.raises(LatentEditError, match="another measurement"):
        evaluate_age(editor, tmp_path / "p", 5, step=3.0, keep=True, judges=PLAIN)
    with pytest.raises(LatentEditError, match="needs holds"):
        evaluate_age(editor, tmp_path / "n", 5, hold="none", keep=True, judges=PLAIN)


def test_a_face_is_drawn_once(editor: FaceEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    z, render = editor.sample(range(6)), editor.render
    monkeypatch.setattr(
        editor,
        "render",
        lambda z, size: drawn.append(len(z)) or render(z, size),  # type: ignore[func-returns-value]
    )
    look = DrawnOnce(editor)
    first = look(z[[0, 1, 0]])
    np.testing.assert_array_equal(first, render(z[[0, 1, 0]], editor.judged_size))
    np.testing.assert_array_equal(look(z[1:]), render(z[1:], editor.judged_size))
    assert drawn == [2, 4]


def test_a_second_run_renders_nothing(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate_age(editor, tmp_path / "w", 5, step=1.0, judges=PLAIN)
    monkeypatch.setattr(editor, "render", None)
    assert evaluate_age(editor, tmp_path / "w", 5, step=1.0, judges=PLAIN) == first
    with pytest.raises(LatentEditError, match="another measurement"):
        evaluate_age(editor, tmp_path / "w", 5, step=1.0, hold="none", judges=PLAIN)


def test_the_slow_judges_look_at_fewer_faces(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aging, "CHUNK", 2)
    monkeypatch.setattr(aging, "independent_ages", lambda images: images.mean((1, 2, 3)))

    def dark(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (images.mean((1, 2, 3)) < 75).astype(np.float32)

    monkeypatch.setattr(aging, "independent_genders", dark)
    judges = SlowJudges(independent=True, dlib=False, faces=3)
    report = evaluate_age(editor, tmp_path / "w", 7, step=2.0, judges=judges)
    first = report["seeds"]["first"]
    z = editor.sample(range(first, first + 4))
    said = [dark(editor.render(editor.edit(z, {"Young": step}))) for step in (0.0, 2.0, -2.0)]
    same = (said[0] == said[1]) & (said[0] == said[2])
    assert report["kept_independent"] == {"Male": same.mean()}
    assert report["years"]["built_in"]["n"] == 7
    assert report["years"]["independent"]["n"] == 4  # two chunks of two


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    random, hits = np.random.RandomState(0), 0
    for _ in range(100):
        low, high = bootstrap_interval(random.normal(3, 2, 60), draws=300)
        hits += low <= 3 <= high
    assert 87 <= hits <= 100


def test_strangers_say_what_a_cosine_is_worth() -> None:
    random = np.random.RandomState(0)
    common, own = 10.0, random.standard_normal((50, 128)).astype(np.float32)
    young, old = (
        common + own + 0.5 * random.standard_normal(own.shape).astype(np.float32) for _ in range(2)
    )
    found = aging._person(young, old)
    assert found["cosine"]["strangers"] > 0.98  # all point the same way
    assert found["centred_cosine"]["same"] == pytest.approx(0.8, abs=0.03)  # 1 / (1 + 0.25)
    assert found["centred_cosine"]["strangers"] == pytest.approx(0, abs=0.05)
    apart = np.linalg.norm(young - old, axis=1).mean()
    assert found["distance"]["same"] == pytest.approx(apart)
    assert found["distance"]["strangers"] > apart
    near = aging._person(young / 100, young / 100 + 0.01)
    assert near["within"]["same"] == 1
    assert aging._person(young, young[::-1])["within"]["same"] == 0
    assert list(aging._person(young[:1], old[:1])["cosine"]) == ["same"]


def test_years_have_a_sign(editor: FaceEditor, tmp_path: Path) -> None:
    report = evaluate_age(editor, tmp_path / "w", 7, step=2.0, judges=PLAIN)
    row = report["years"]["built_in"]
    z = editor.sample(range(report["seeds"]["first"], report["seeds"]["first"] + 7))
    young, old = (
        editor.age(editor.render(editor.edit(z, {"Young": step}))) for step in (2.0, -2.0)
    )
    assert row["signed"] == pytest.approx((old - young).mean(), abs=1e-4)
    assert abs(row["signed"]) < row["mean"]  # some of these faces go the other way


def test_the_frontier_is_of_other_faces(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[int] = []
    sample = editor.sample
    monkeypatch.setattr(aging, "for_many", lambda same: same)
    monkeypatch.setattr(editor, "sample", lambda seeds: (sampled.extend(seeds), sample(seeds))[1])
    report = evaluate_age(editor, tmp_path / "w", 5, judges=PLAIN)
    reported = range(report["seeds"]["first"], report["seeds"]["last"] + 1)
    frontier = {seed for seed in sampled if seed >= reported[0] + aging.MOST_FACES}
    assert len(frontier) == 5
    assert {*reported} <= {*sampled}
    with pytest.raises(LatentEditError, match="more than a seed has"):
        evaluate_age(editor, tmp_path / "w2", aging.MOST_FACES + 1, judges=PLAIN)


def test_a_folder_of_an_earlier_version_is_refused(editor: FaceEditor, tmp_path: Path) -> None:
    evaluate_age(editor, tmp_path / "w", 5, step=1.0, judges=PLAIN)
    (tmp_path / "w" / "measurement.json").unlink()
    with pytest.raises(LatentEditError, match="another measurement"):
        evaluate_age(editor, tmp_path / "w", 5, step=1.0, judges=PLAIN)


def test_a_model_without_any_estimator(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="no age estimator"):
        evaluate_age(FaceEditor.load(tiny_bundle), tmp_path / "w", 5, judges=PLAIN)


def test_the_command(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "age", "--n", "2", "--step", "1", "--model", str(tiny_bundle)]
    (tmp_path / "w").mkdir()
    words += ["--json", str(tmp_path / "w" / "age.json"), "--work", str(tmp_path / "w")]
    for _ in range(2):  # the report may lie in the folder of what was measured
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0
    report = json.loads((tmp_path / "w" / "age.json").read_text())
    assert report["steps"] == {"old": -1.0, "young": 1.0}
    assert "independent" in report["years"]
    assert "the slides: 19.2 on 10,000" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--step", "far"])
    assert stopped.value.code == 2
