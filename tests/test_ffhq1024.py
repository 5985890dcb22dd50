"""The pulled ffhq1024, end to end: these skip without it, or fail where CI is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import PULLED, Run
from golden import FOLDER, describe, shrink

from latentedit import ATTRIBUTES, FaceEditor
from latentedit.errors import LatentEditError
from latentedit.io.files import read_json
from latentedit.io.images import open_image
from latentedit.pretrained.bundles import default_bundle
from latentedit.pretrained.cache import HOME_VARIABLE, SOURCES

pytestmark = pytest.mark.fast_form

NAME = "ffhq1024"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The user's own folder of pulled models, in place of the tests' empty one."""
    if PULLED is None:
        why = f"{NAME} is not here: latentedit models pull {NAME}"
        pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(PULLED.parents[1]))
        yield PULLED.parents[1]


@pytest.fixture(scope="module")
def editor(home: Path) -> FaceEditor:
    return FaceEditor.load(NAME, device="cpu")


def test_it_is_the_default_where_it_was_pulled(home: Path) -> None:
    assert default_bundle() == NAME
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(home / "nowhere"))
        assert default_bundle() == "faces128"
        with pytest.raises(LatentEditError, match="latentedit models pull ffhq1024"):
            FaceEditor.load(NAME)


def test_faces_and_scores_stay_what_they_were(editor: FaceEditor) -> None:
    golden = read_json(FOLDER / f"{NAME}.json")
    picture, entries = describe(editor)
    for part in ("generator_hash", "classifier_hash"):
        assert entries[part] == golden[part]
    assert editor.generator_hash == SOURCES[NAME].weights_hash
    difference = np.abs(picture.astype(int) - open_image(FOLDER / f"{NAME}.png"))
    assert difference.max() <= 8
    assert difference.mean() <= 0.5
    np.testing.assert_allclose(entries["scores"], golden["scores"], atol=0.01)


def test_previews_are_the_whole_picture_made_smaller(editor: FaceEditor) -> None:
    z = editor.sample(range(4))
    whole, preview = (shrink(images) for images in (editor.render(z), editor.render(z, 256)))
    assert editor.render(z[:1], 256).shape == (1, 256, 256, 3)
    error = np.square(whole.astype(float) - preview).mean(axis=(1, 2, 3))
    decibels = 10 * np.log10(255**2 / error)
    assert decibels.mean() > 30
    assert decibels.min() > 26


def test_judges_see_as_much_in_previews(editor: FaceEditor) -> None:
    z = editor.sample(range(8, 16))
    whole = editor.score(editor.render(z))
    seen = editor.score(editor.render(z, editor.judged_size))
    assert np.abs(whole - seen).mean() < 0.02
    assert ((whole > 0.5) == (seen > 0.5)).mean() > 0.97


def test_psi_draws_faces_towards_the_mean(editor: FaceEditor, home: Path) -> None:
    tame = FaceEditor.load(NAME, device="cpu", psi=0.35)
    mean = editor.generator.mean.numpy()
    np.testing.assert_allclose(
        tame.sample([3]) - mean, (editor.sample([3]) - mean) / 2, rtol=1e-3, atol=1e-4
    )
    with pytest.raises(LatentEditError, match="give 0 to 1"):
        FaceEditor.load(NAME, psi=1.5)


def test_three_steps_make_people_older(editor: FaceEditor) -> None:
    z = editor.sample(range(20, 28))
    faces = editor.render(z, editor.judged_size)
    older = editor.render(editor.edit(z, {"Young": -3.0}), editor.judged_size)
    young = ATTRIBUTES.index("Young")
    assert editor.score(older)[:, young].mean() < editor.score(faces)[:, young].mean() - 0.2
    assert editor.age(older).mean() > editor.age(faces).mean() + 5


def test_some_layers_may_move_alone(editor: FaceEditor) -> None:
    w = editor.sample([5])
    moved = editor.edit(w, {"Smiling": 2.0}, layers=range(3, 10))
    assert moved.shape == (1, 23, 512)
    still = np.setdiff1d(np.arange(23), np.arange(3, 10))
    np.testing.assert_array_equal(moved[0, still], np.repeat(w, len(still), axis=0))


def test_latents_of_z_and_of_other_generators_are_refused(editor: FaceEditor) -> None:
    z = FaceEditor.load(NAME, device="cpu", space="z").sample([0])
    with pytest.raises(LatentEditError, match="z"):
        editor.render(z)
    with pytest.raises(LatentEditError, match="23"):
        editor.render(np.ones((1, 18, 512), np.float32))
    with pytest.raises(LatentEditError, match="size 2048"):
        editor.render(editor.sample([0]), 2048)


def test_the_command_says_which_model_drew(run: Run, home: Path) -> None:
    done = run("sample", "--seeds", "0-1", "-o", "two.png")
    assert (done.code, done.err) == (0, "")
    assert "ffhq1024" in done.out
    assert "--model faces128" in done.out
    assert open_image("two.png").shape[0] >= 1024
    done = run("edit", "--attr", "Smiling", "--step", 1, "--frames", 2)
    assert (done.code, "ffhq1024" in done.out) == (0, True)
