"""Answers to the page's requests, and that a bad one changes nothing."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from latentedit import defaults
from latentedit.boundaries.calibration import Calibration
from latentedit.boundaries.model import Boundaries
from latentedit.demo.comparison import draw
from latentedit.demo.recipes import latent_of
from latentedit.demo.replies import Picture, pack
from latentedit.demo.session import Session, View
from latentedit.demo.studio import ComparedEdit, Studio
from latentedit.demo.takeaways import FILM_FRAMES, take
from latentedit.demo.viewer import GALLERY
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.pretrained.bundles import load_classifier, load_generator


def years(images: Tensor) -> Tensor:
    return 50 + 500 * images.mean((1, 2, 3))


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    saved = Boundaries.load(_bundle / "boundaries.safetensors")
    boundaries = Boundaries(
        saved.names,
        saved.normals,
        saved.biases,
        saved.generator_hash,
        auto=saved.auto,
        safe_ranges={"Young": (-2.0, 2.0)},
        calibrations={"Young": Calibration((-2.0, 0.0, 2.0), (0.1, 0.6, 0.9), (20, 0, -10))},
    )
    return FaceEditor(
        load_generator(_bundle)[0], load_classifier(_bundle)[0], years, boundaries, device="cpu"
    )


@pytest.fixture(scope="module")
def studio(editor: FaceEditor) -> Studio:
    return Studio(editor)


@pytest.fixture
def session(studio: Studio) -> Session:
    return studio.new_session()


def pixels(picture: Picture) -> NDArray[np.uint8]:
    assert picture.type == "image/png"
    return np.array(Image.open(io.BytesIO(picture.content)))


def move(**steps: float) -> dict[str, Any]:
    return {"do": "move", "steps": steps}


# ---- what is asked for is done


def test_the_start_has_all_that_the_page_draws(studio: Studio, session: Session) -> None:
    same, reply = studio.act(session, {"do": "start"})
    assert same is session
    assert pack(reply)
    np.testing.assert_array_equal(pixels(reply["original"]), pixels(reply["edited"]))
    assert reply["view"]["seed"] == defaults.SEED
    assert (reply["undo"], reply["redo"], reply["told"]) == (False, False, "")
    rows = [control for group in reply["groups"] for control in group["controls"]]
    assert len(rows) == 40
    assert (rows[0]["attribute"], rows[0]["low"], rows[0]["high"]) == ("Young", -2.0, 2.0)
    assert rows[0]["calibration"]["years"] == [20, 0, -10]
    assert rows[1]["calibration"] is None
    faces = reply["gallery"]["faces"]
    assert len({face["seed"] for face in faces}) == GALLERY
    assert defaults.SEED in {face["seed"] for face in faces}


def test_a_move_shows_the_edit_and_says_what_changed(
    studio: Studio, session: Session, editor: FaceEditor
) -> None:
    after, reply = studio.act(session, move(Young=-2.0, Smiling=1.0))
    assert after.view == View(defaults.SEED, {"Young": -2.0, "Smiling": 1.0})
    image = editor.render(latent_of(editor, after.view))
    np.testing.assert_array_equal(pixels(reply["edited"]), image[0])
    assert reply["years"] == (
        float(editor.age(editor.render(editor.sample([defaults.SEED])))[0]),
        float(editor.age(image)[0]),
    )
    assert [change["asked"] for change in reply["changes"][:2]] == [True, True]
    by_trait = {change["trait"]: change for change in reply["changes"]}
    young = editor.attributes.index("Young")
    assert by_trait["looks older"]["after"] == pytest.approx(1 - editor.score(image)[0, young])
    assert reply["told"].startswith("Estimated age: ")
    assert (reply["undo"], reply["redo"]) == (True, False)
    assert set(reply["held"]) == {"Male", "Gray_Hair"}
    assert "view" not in reply  # the user's hand is on the slider


def test_a_preview_is_shown_but_is_no_move(studio: Studio, session: Session) -> None:
    same, preview = studio.act(session, {**move(Young=-2.0), "preview": True})
    after, final = studio.act(session, move(Young=-2.0))
    assert same is session
    assert after is not session
    pictures = [shown["edited"].content for shown in (preview, final)]
    quick, exact = (np.array(Image.open(io.BytesIO(each))).astype(int) for each in pictures)
    assert np.abs(quick - exact).mean() < 2
    assert "undo" not in preview


def test_locks_hold(studio: Studio, session: Session, editor: FaceEditor) -> None:
    locked, reply = studio.act(session, {**move(Young=-2.0), "locks": ["Bald"], "auto": False})
    assert reply["held"] == []
    moved = editor.distances(latent_of(editor, locked.view)) - editor.distances(
        editor.sample([defaults.SEED])
    )
    assert abs(moved[0, editor.boundaries.index("Bald")]) < 1e-4
    assert abs(moved[0, editor.boundaries.index("Male")]) > 1e-3


def test_undo_redo_and_start_over(studio: Studio, session: Session) -> None:
    start = studio.act(session, {"do": "start"})[1]
    session, moved = studio.act(session, move(Young=-2.0))
    session, back = studio.act(session, {"do": "undo"})
    assert (back["edited"], back["undo"], back["redo"]) == (start["edited"], False, True)
    assert back["view"]["steps"] == {}
    session, again = studio.act(session, {"do": "redo"})
    assert (again["edited"], again["view"]["steps"]) == (moved["edited"], {"Young": -2.0})
    session, reset = studio.act(session, {"do": "reset"})
    assert (reset["edited"], reset["view"]["steps"], reset["undo"]) == (start["edited"], {}, True)
    session, undone = studio.act(session, {"do": "undo"})
    assert undone["view"]["steps"] == {"Young": -2.0}


def test_other_faces(studio: Studio, session: Session) -> None:
    session, _ = studio.act(session, move(Young=-2.0))
    kept, reply = studio.act(session, {"do": "face", "seed": 5, "keep": True})
    assert kept.view == View(5, {"Young": -2.0})
    assert reply["view"]["seed"] == 5
    fresh, _ = studio.act(session, {"do": "face", "seed": 5, "keep": False})
    assert fresh.view == View(5)
    seeds = {studio.act(session, {"do": "face", "dice": True})[0].view.seed for _ in range(8)}
    assert len(seeds) > 1
    same, reply = studio.act(session, {"do": "gallery", "page": 1})
    assert same is session
    assert all(24 <= face["seed"] < 48 for face in reply["gallery"]["faces"])


def test_two_sessions_do_not_touch_each_other(studio: Studio) -> None:
    one, two = studio.new_session(), studio.new_session()
    one, _ = studio.act(one, move(Young=-2.0))
    two, _ = studio.act(two, move(Smiling=1.0))
    assert one.view.steps == {"Young": -2.0}
    assert two.view.steps == {"Smiling": 1.0}
    assert studio.new_session().view == View(defaults.SEED)


def test_what_is_taken_home_opens_again(studio: Studio, session: Session) -> None:
    session, moved = studio.act(session, {**move(Young=-2.0), "locks": ["Bald"]})
    for what in ("picture", "jpeg", "recipe"):
        file = take(studio.shown(session), what)
        other = studio.act(studio.new_session(), {"do": "face", "seed": 9})[0]
        assert studio.is_ours(file.content)
        opened, reply = studio.open(other, file.content)
        assert opened.view == session.view
        assert reply["edited"] == moved["edited"]
        assert reply["view"]["locks"] == ["Bald"]
        assert opened.can_undo
        assert reply["message"] == "Opened: face, sliders and locks are back."


def test_a_strip_of_several_faces_says_that_the_first_is_shown(
    studio: Studio, session: Session, editor: FaceEditor
) -> None:
    recipe = editor.recipe({"Young": -1.0}, seeds=[8, 9, 10])
    _, reply = studio.open(session, recipe.to_json().encode())
    assert "first of its 3 faces" in reply["message"]


def test_the_film_goes_from_the_original_to_the_edit(studio: Studio, session: Session) -> None:
    session, moved = studio.act(session, move(Young=-2.0))
    frames = [studio.act(session, {"do": "frame", "index": i})[1] for i in range(FILM_FRAMES)]
    assert frames[0]["frame"] == moved["original"]
    assert frames[-1]["frame"] == moved["edited"]
    assert len({reply["frame"] for reply in frames}) > 2


def test_a_picture_that_the_page_has_is_not_sent_again(studio: Studio, session: Session) -> None:
    _, first = studio.act(session, move(Young=-2.0))
    key = first["original"].key
    _, again = studio.act(session, {**move(Young=-1.0), "has": key})
    assert again["original"] == {"key": key}


def test_a_slider_says_what_it_does_to_this_face(
    studio: Studio, session: Session, editor: FaceEditor
) -> None:
    same, reply = studio.act(session, {"do": "learn", "attribute": "Young"})
    assert same is session
    learned = reply["learned"]
    assert learned["steps"] == [-2.0, -1.0, 0.0, 1.0, 2.0]
    z = editor.sample([session.view.seed])
    ways = [editor.edit(z, {"Young": step}) for step in learned["steps"]]
    images = [editor.render(way, quick=True) for way in ways]
    expected = [float(editor.age(image)[0]) for image in images]
    assert learned["years"] == pytest.approx(expected, abs=0.5)
    assert len(studio.act(session, {"do": "learn", "attribute": "Bald"})[1]["learned"]) == 4


def test_many_sliders_are_cut_short_together(studio: Studio, session: Session) -> None:
    _, two = studio.act(session, move(Young=2.0, Smiling=1.0))
    assert two["together"] == 1
    names = ("Young", "Smiling", "Male", "Eyeglasses", "Bald", "Wearing_Hat")
    ends = {name: studio.controls[name].high for name in names}
    many, reply = studio.act(session, {**move(**ends), "auto": False})
    assert 0.3 < reply["together"] < 0.9
    assert many.view.steps == ends  # the sliders stay where they are


def test_without_an_age_estimator_no_age_is_told(tiny_bundle: Path) -> None:
    studio = Studio(FaceEditor.load(tiny_bundle, device="cpu"))
    _, reply = studio.act(studio.new_session(), move(Young=-2.0))
    assert reply["years"] is None
    assert "age" not in reply["told"]


def test_a_model_needs_classifier_and_boundaries(tiny_bundle: Path) -> None:
    generator, classifier = load_generator(tiny_bundle)[0], load_classifier(tiny_bundle)[0]
    boundaries = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    with pytest.raises(LatentEditError, match="no boundaries"):
        Studio(FaceEditor(generator, classifier, device="cpu"))
    with pytest.raises(LatentEditError, match="no classifier"):
        Studio(FaceEditor(generator, boundaries=boundaries, device="cpu"))


# ---- a bad request changes nothing


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (None, "reload"),
        ([], "reload"),
        ({}, "reload"),
        ({"do": "quit"}, "reload"),
        ({"do": "__init__"}, "reload"),
        ({"do": ["move"]}, "reload"),
        ({"do": "move"}, "reload"),
        (move(Young=1e9), "Age must be a number"),
        (move(Young=float("nan")), "must be a number"),
        ({"do": "move", "steps": {"../../etc/passwd": 1}}, "no slider"),
        ({"do": "face"}, "seed"),
        ({"do": "face", "seed": "1; DROP TABLE"}, "seed"),
        ({"do": "face", "seed": 2**32}, "seed"),
        ({"do": "gallery", "page": -1}, "no more faces"),
        ({"do": "gallery", "page": 2**40}, "no more faces"),
        ({"do": "gallery", "page": 1.5}, "no more faces"),
        ({"do": "frame", "index": 0}, "move a slider first"),
        ({"do": "frame", "index": -1}, "no such frame"),
        ({"do": "frame", "index": "../../etc/passwd"}, "no such frame"),
        ({"do": "learn", "attribute": "/etc/passwd"}, "no such slider"),
        ({"do": "sitter", "face": 1}, "no longer here"),
    ],
)
def test_bad_requests_get_a_friendly_message_and_change_nothing(
    studio: Studio, session: Session, request_: Any, says: str
) -> None:
    same, reply = studio.act(session, request_)
    assert same is session
    assert set(reply) == {"view", "undo", "redo", "message"}
    assert reply["view"]["seed"] == defaults.SEED
    assert re.search(says, reply["message"], re.IGNORECASE)


def test_locks_that_leave_nothing_refuse_the_move_in_the_page_s_words(editor: FaceEditor) -> None:
    normals = editor.boundaries.normals.copy()
    normals[editor.boundaries.index("Gray_Hair")] = -normals[editor.boundaries.index("Young")]
    twins = Boundaries(
        editor.boundaries.names, normals, editor.boundaries.biases, editor.generator_hash
    )
    studio = Studio(FaceEditor(editor.generator, editor.classifier, boundaries=twins, device="cpu"))
    session, _ = studio.act(studio.new_session(), {**move(Smiling=1.0), "locks": ["Gray_Hair"]})
    same, reply = studio.act(session, {**move(Smiling=1.0, Young=1.0), "locks": ["Gray_Hair"]})
    assert same is session
    assert reply["view"]["steps"] == {"Smiling": 1.0}  # the slider goes back
    assert reply["message"] == (
        "“Age” cannot move while the holds stand, they leave nothing of its direction: "
        "release “Grey hair”."
    )


# ---- the tab Compare


def test_compare_makes_the_same_move_with_and_without_locks(
    studio: Studio, editor: FaceEditor
) -> None:
    session = Session((View(3),))
    original, (free, held) = studio.compare(session, "Young", -2.0)
    z = editor.sample([3])
    for edit, hold in ((free, "none"), (held, "auto")):
        image = editor.render(editor.edit(z, {"Young": -2.0}, hold))
        np.testing.assert_array_equal(pixels(edit.picture), image[0])
        change = np.abs(editor.score(image)[0] - editor.score(editor.render(z))[0])
        others = np.delete(change, editor.attributes.index("Young"))
        assert edit.leakage == pytest.approx(others.mean(), abs=1e-6)
        assert edit.changes[0].asked
    assert free.picture != held.picture
    html = draw("Seed 3", original, [free, held])
    assert html.count("<img ") == 3
    for text in (
        "Original",
        "No locks",
        "Automatic locks",
        f"{held.leakage:.1%}",
        "looks older",
        "Seed 3",
        original.uri,
    ):
        assert text in html
    for attribute, step in (("Yuong", 1.0), (None, 1.0), ("Young", None), ("Young", 1e9)):
        with pytest.raises(LatentEditError):
            studio.compare(session, attribute, step)


def test_comparisons_escape_what_they_show() -> None:
    picture = Picture(b"", '"><script>')
    edit = ComparedEdit("<script>", picture, [], None, 0.1)
    assert "<script>" not in draw('"><script>', picture, [edit])
