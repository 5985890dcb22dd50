"""FaceEditor with generators whose layers take a latent each: W, W+, bundles, commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from saved import read_recipe
from tiny_generators import KINDS, mobilestylegan, progressive, stylegan2

from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import build_pool, for_many
from latentedit.boundaries.unsupervised import find_directions
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.ages import search_age
from latentedit.editing.editor import FaceEditor
from latentedit.editing.strips import edit_strip
from latentedit.errors import LatentEditError
from latentedit.generators.base import SHARED_FRAME, FaceGenerator
from latentedit.generators.latents import load_latents, save_latents
from latentedit.io.images import save_image
from latentedit.pretrained.bundles import save_generator, save_part
from latentedit.pretrained.hashing import weights_hash

NAMES = ("Young", "Male", "Smiling")
LAYERED = {kind: make for kind, make in KINDS.items() if make().spaces[0].layers > 1}


def boundaries_of(generator: FaceGenerator) -> Boundaries:
    normals = np.random.RandomState(0).standard_normal((3, generator.latent_dim))
    return Boundaries(
        names=NAMES,
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        biases=np.array([0.1, -0.2, 0.3]),
        generator_hash=weights_hash(generator),
        space=generator.space.name,
        auto={"Young": {"Male": 0.5}},
    )


@pytest.fixture(params=LAYERED.values(), ids=LAYERED)
def editor(request: pytest.FixtureRequest, tiny_classifier: AttributeClassifier) -> FaceEditor:
    generator = request.param()
    return FaceEditor(
        generator, tiny_classifier, boundaries=boundaries_of(generator), name="t", device="cpu"
    )


@pytest.fixture
def bundle(tmp_path: Path, tiny_classifier: AttributeClassifier) -> Path:
    """A MobileStyleGAN in W with a classifier and boundaries."""
    folder, generator = tmp_path / "mobile", mobilestylegan()
    save_generator(folder, generator, {"terms": "none"})
    save_part(folder, "classifier", tiny_classifier, tiny_classifier.config, {})
    boundaries_of(generator).save(folder / "boundaries.safetensors")
    return folder


def a_layer_each(editor: FaceEditor, count: int = 2) -> np.ndarray:
    rows = editor.sample(range(count * editor.layers))
    return rows.reshape(count, editor.layers, -1)


# ---- one latent for all layers


def test_the_whole_way_in_w(editor: FaceEditor) -> None:
    assert (editor.space, editor.latent_dim, editor.layers > 1) == ("w", 16, True)
    w = editor.sample(range(3))
    images = editor.render(w, size=16)
    assert images.shape == (3, 16, 16, 3)
    assert editor.score(images).shape == (3, 40)
    moved = editor.edit(w, {"Young": -3.0}, "none")
    young = editor.boundaries.index("Young")
    assert (moved.shape, moved.dtype) == (w.shape, np.float32)
    change = editor.distances(moved) - editor.distances(w)
    np.testing.assert_allclose(change[:, young], -3, atol=1e-5)
    near = editor.edit(w, to={"Smiling": 1.5}, hold={"Male": 1.0})
    np.testing.assert_allclose(editor.distances(near)[:, 2], 1.5, atol=1e-5)
    np.testing.assert_allclose(editor.distances(near)[:, 1], editor.distances(w)[:, 1], atol=1e-5)


def test_pools_and_directions_in_w(editor: FaceEditor, tmp_path: Path) -> None:
    pool = build_pool(editor, tmp_path / "pool", 5, first_seed=0)
    assert pool.space == "w"
    np.testing.assert_array_equal(pool.load()[0], editor.sample(range(5)))
    for method in ("sefa", "pca"):
        found = find_directions(editor, method, 2, count=50)
        assert (found.space, found.normals.shape) == ("w", (2, 16))
    assert for_many(editor).batch_size == 16


# ---- a latent a layer


def test_all_layers_move_alike(editor: FaceEditor) -> None:
    w = a_layer_each(editor)
    moved = editor.edit(w, {"Young": -3.0}, "auto")
    assert (moved.shape, moved.dtype) == (w.shape, np.float32)
    one = editor.edit(w[:, 0], {"Young": -3.0}, "auto") - w[:, 0]
    np.testing.assert_allclose(moved - w, np.repeat(one[:, None], editor.layers, 1), atol=1e-6)
    mean = editor.distances(w.mean(1))
    np.testing.assert_allclose(editor.distances(w), mean, atol=1e-5)
    assert not np.array_equal(editor.render(moved), editor.render(w))


def test_only_the_layers_that_are_named_move(editor: FaceEditor) -> None:
    w, layers = a_layer_each(editor), (1, 3)
    others = [layer for layer in range(editor.layers) if layer not in layers]
    moved = editor.edit(w, {"Young": 2.0}, "none", layers=layers)
    np.testing.assert_array_equal(moved[:, others], w[:, others])
    normal = editor.boundaries.normals[0]
    for layer in layers:
        np.testing.assert_allclose(moved[:, layer] - w[:, layer], [2 * normal] * 2, atol=1e-5)
    change = editor.distances(moved) - editor.distances(w)
    np.testing.assert_allclose(change[:, 0], 2 * len(layers) / editor.layers, atol=1e-5)


def test_distances_are_reached_in_the_mean_of_the_layers_named(editor: FaceEditor) -> None:
    w = a_layer_each(editor, 3)
    everywhere = editor.edit(w, to={"Young": 1.0, "Smiling": -1.0})
    np.testing.assert_allclose(editor.distances(everywhere)[:, [0, 2]], [[1, -1]] * 3, atol=1e-5)
    some = editor.edit(w, to={"Young": 1.0}, layers=[2, 0])
    np.testing.assert_allclose(editor.distances(some, layers=[0, 2])[:, 0], 1, atol=1e-5)
    assert np.abs(editor.distances(some)[:, 0] - 1).max() > 1e-3


def test_naming_layers_gives_each_its_own_latent(editor: FaceEditor) -> None:
    w = editor.sample([0, 1])
    moved = editor.edit(w, {"Young": 2.0}, "none", layers=[0])
    assert moved.shape == (2, editor.layers, 16)
    np.testing.assert_array_equal(moved[:, 1:], np.repeat(w[:, None], editor.layers - 1, 1))
    every = editor.edit(w, {"Young": 2.0}, "none", layers=range(editor.layers))
    np.testing.assert_allclose(every[:, 0], editor.edit(w, {"Young": 2.0}, "none"), atol=1e-6)
    difference = editor.render(every).astype(int) - editor.render(every[:, 0])
    assert np.abs(difference).max() <= 1


def test_strips_of_latents_a_layer(editor: FaceEditor) -> None:
    w = a_layer_each(editor)
    recipe = editor.recipe({}, to={"Young": 1.0}, frames=3, layers=[1, 0])
    assert recipe.layers == (0, 1)
    strip = edit_strip(editor, w, recipe)
    assert strip.images.shape == (2, 3, editor.resolution, editor.resolution, 3)
    np.testing.assert_array_equal(strip.images[:, 0], editor.render(w))
    np.testing.assert_array_equal(strip.images[:, -1], editor.render(editor.apply(recipe, w)))
    np.testing.assert_allclose(strip.distances[:, -1, 0], 1, atol=1e-5)
    assert strip.summary()["recipe"]["layers"] == [0, 1]


def test_ages_are_searched_with_latents_a_layer() -> None:
    generator = mobilestylegan()
    editor = FaceEditor(
        generator,
        age_estimator=lambda images: 50 + 25 * images.mean((1, 2, 3)),
        boundaries=boundaries_of(generator),
        device="cpu",
    )
    w = a_layer_each(editor)
    found = search_age(editor, w, by=0.01, hold="none", layers=[0, 1, 2])
    moved = editor.edit(w, found.steps, "none", layers=[0, 1, 2])
    np.testing.assert_allclose(editor.age(editor.render(moved)), found.reached, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e, w: e.edit(w, {"Young": 1}, layers=[99]), "layer 99 is out of range: give 0 to"),
        (lambda e, w: e.edit(w, {"Young": 1}, layers=[]), "no layer is named"),
        (lambda e, w: e.edit(w, {"Young": 1}, layers=[-1]), "layer cannot be -1"),
        (lambda e, w: e.edit(w, {"Young": 1}, layers=[0.5]), "layer cannot be 0.5"),
        (lambda e, w: e.recipe({"Young": 1}, layers=[99]), "layer 99"),
        (lambda e, w: e.distances(w, layers=[99]), "layer 99"),
        (lambda e, w: e.render(w[:, :2]), r"\[N, 16\] or \[N, "),
        (lambda e, w: e.edit(np.ones((1, 18, 16)), {"Young": 1}), r"got \[1, 18, 16\]"),
        (
            lambda e, w: e.edit(FaceEditor(progressive()).sample([0]), {"Young": 1}),
            "latents of space z",
        ),
    ],
)
def test_what_is_refused(
    editor: FaceEditor, call: Callable[[FaceEditor, np.ndarray], object], words: str
) -> None:
    with pytest.raises(LatentEditError, match=words) as caught:
        call(editor, a_layer_each(editor))
    assert "\n" not in str(caught.value)


def test_layers_where_all_share_a_latent() -> None:
    generator = progressive()
    editor = FaceEditor(generator, boundaries=boundaries_of(generator), device="cpu")
    for layers in ([0], range(8)):
        with pytest.raises(LatentEditError, match="has no layers to name"):
            editor.edit(editor.sample([0]), {"Young": 1.0}, layers=layers)


# ---- the frame


def test_judges_look_at_the_frame_of_the_generator(tiny_classifier: AttributeClassifier) -> None:
    editor = FaceEditor(mobilestylegan(), tiny_classifier, device="cpu")
    images = editor.render(editor.sample([0, 1]))
    framed = editor.judges.with_frame(SHARED_FRAME)
    assert editor.judges.frame == editor.generator.frame != SHARED_FRAME
    assert not np.array_equal(editor.score(images), framed.score(images))


# ---- files and commands


def test_latents_a_layer_are_kept_in_files(editor: FaceEditor, tmp_path: Path) -> None:
    w = a_layer_each(editor)
    for name in ("w.npy", "w.safetensors"):
        save_latents(tmp_path / name, w, {"model": editor.name})
        again = load_latents(tmp_path / name, editor.latent_dim, editor.layers)
        np.testing.assert_array_equal(again, w)
        with pytest.raises(LatentEditError, match=r"got \[2, \d, 16\]"):
            load_latents(tmp_path / name, editor.latent_dim)


def test_a_bundle_of_another_kind(bundle: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(bundle, device="cpu")
    assert (editor.name, editor.space, editor.resolution) == ("mobile", "w", 32)
    assert editor.has_boundaries
    editor.save_pretrained(tmp_path / "again")
    again = FaceEditor.load(tmp_path / "again", device="cpu")
    w = again.sample([0])
    np.testing.assert_array_equal(
        again.render(again.edit(w, {"Young": 1.0})), editor.render(editor.edit(w, {"Young": 1.0}))
    )
    in_z = FaceEditor.load(bundle, device="cpu", space="z")
    assert (in_z.space, in_z.layers, in_z.has_boundaries) == ("z", 1, False)
    difference = in_z.render(in_z.sample([3])).astype(int) - editor.render(editor.sample([3]))
    assert np.abs(difference).max() <= 1
    with pytest.raises(LatentEditError, match="no latent space 's'"):
        FaceEditor.load(bundle, space="s")


def test_boundaries_of_an_earlier_generator_stop_nothing_else(bundle: Path) -> None:
    save_generator(bundle, stylegan2(), {})
    editor = FaceEditor.load(bundle, device="cpu")
    assert not editor.has_boundaries
    w = editor.sample([0])
    assert editor.score(editor.render(w)).shape == (1, 40)
    with pytest.raises(LatentEditError, match="belong to generator"):
        editor.edit(w, {"Young": 1.0})


def test_edit_moves_some_layers(run: Run, bundle: Path) -> None:
    words = ("edit", "--attr", "Young", "--step", 1, "--hold", "none", "--model", bundle)
    words = (*words, "-o", "edit.png")
    done = run(*words, "--layers", "0-2,5", "--seeds", "0-1", "--json", "--frames", 3)
    assert (done.code, done.err) == (0, "")
    recipe = read_recipe("edit.png")
    assert recipe.layers == (0, 1, 2, 5)
    assert json.loads(done.out)["recipe"]["layers"] == [0, 1, 2, 5]
    some = Path("edit.png").read_bytes()
    assert run(*words, "--seeds", "0-1", "--frames", 3).code == 0
    assert Path("edit.png").read_bytes() != some
    assert "layers" not in read_recipe("edit.png").as_dict()


def test_edit_takes_latents_a_layer_from_a_file(run: Run, bundle: Path) -> None:
    w = a_layer_each(FaceEditor.load(bundle, device="cpu"))
    save_latents("w.safetensors", w, {})
    words = ("edit", "--latents", "w.safetensors", "--attr", "Young", "--model", bundle)
    assert run(*words, "--to", 1, "--frames", 2).code == 0
    done = run(*words, "--to", 1, "--frames", 2, "--layers", "0-3", "--force", "--json")
    assert done.code == 0
    face = json.loads(done.out)["faces"][1]
    assert face["attributes"]["Young"]["distance"][1] == 1.0


@pytest.mark.parametrize(
    ("layers", "words"),
    [("7-9", "layer 9 is out of range: give 0 to 7"), ("a", "cannot read layers 'a'")],
)
def test_layers_that_edit_refuses(run: Run, bundle: Path, layers: str, words: str) -> None:
    done = run("edit", "--attr", "Young", "--step", 1, "--layers", layers, "--model", bundle)
    assert (done.code, done.err.count("\n"), words in done.err) == (2, 1, True)


def test_layers_of_a_model_without(run: Run, tiny_bundle: Path) -> None:
    for move in (("--attr", "Young", "--step", 1), ("--age", 5)):
        done = run("edit", *move, "--layers", "0-7", "--model", tiny_bundle)
        assert (done.code, "has no layers to name" in done.err) == (2, True)


def test_photographs_in_the_shared_frame_are_not_cut(run: Run, bundle: Path) -> None:
    image = np.random.RandomState(0).randint(0, 256, (128, 128, 3), np.uint8)
    save_image("face.png", image)
    done = run("label", "face.png", "--aligned", "--json", "--model", bundle)
    assert done.code == 0
    judges = FaceEditor.load(bundle, device="cpu").judges.with_frame(SHARED_FRAME)
    found = list(json.loads(done.out)[0]["attributes"].values())
    np.testing.assert_allclose(found, judges.score(image[None])[0], atol=1e-4)
