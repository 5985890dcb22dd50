"""FaceEditor: shapes, dtypes, independence of the batch, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photo_models import write_bundle
from torch import Tensor, nn

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.inference import prepare
from latentedit.inference.devices import computes_bfloat16
from latentedit.inference.openvino import has_openvino
from latentedit.pretrained.bundles import load_generator
from latentedit.pretrained.hashing import weights_hash


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return FaceEditor.load(tiny_bundle, device="cpu")


def brightness_in_years(images: Tensor) -> Tensor:
    return 50 + 25 * images.mean((1, 2, 3))


# ---- shapes and dtypes


def test_the_whole_way_has_the_promised_shapes_and_dtypes(editor: FaceEditor) -> None:
    z = editor.sample(seeds=range(5))
    assert (z.dtype, z.shape) == (np.float32, (5, 64))
    images = editor.render(z)
    assert (images.dtype, images.shape) == (np.uint8, (5, 16, 16, 3))
    probabilities = editor.score(images)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (5, 40))
    assert np.all((probabilities >= 0) & (probabilities <= 1))
    distances = editor.distances(z)
    assert (distances.dtype, distances.shape) == (np.float64, (5, 40))
    older = editor.edit(z, {"Young": -3.0}, hold="auto")
    assert (older.dtype, older.shape) == (np.float32, (5, 64))
    assert editor.attributes == editor.boundaries.names == ATTRIBUTES
    assert (editor.latent_dim, editor.resolution, editor.name) == (64, 16, "tiny")


@pytest.mark.parametrize("age_module", [False, True])
def test_age(tiny_generator: Generator, age_module: bool) -> None:
    class Brightness(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert not self.training
            return brightness_in_years(images)

    estimator = Brightness() if age_module else brightness_in_years
    editor = FaceEditor(tiny_generator, age_estimator=estimator, device="cpu", batch_size=2)
    images = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in (0, 255, 255)])
    years = editor.age(images)
    assert (years.dtype, years.shape) == (np.float32, (3,))
    np.testing.assert_allclose(years, [25, 75, 75], atol=0.5)


def test_the_same_numbers_in_another_form(editor: FaceEditor) -> None:
    z = editor.sample([3])
    np.testing.assert_array_equal(editor.render(z[0]), editor.render(z))
    np.testing.assert_array_equal(editor.render(z.tolist()), editor.render(z))
    np.testing.assert_array_equal(editor.edit(z[0], {"Young": 1}), editor.edit(z, {"Young": 1}))
    images = editor.render(z)
    np.testing.assert_array_equal(editor.score(np.asfortranarray(images)), editor.score(images))


# ---- alone and in a batch


def test_a_seed_gives_the_same_face_alone_and_in_any_company() -> None:
    """On a network of the shipped size, whose kernels do depend on the size of the batch."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig())
    for parameter in generator.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.1)
    editor = FaceEditor(generator, device="cpu")
    seeds = list(range(11))
    together = editor.render(editor.sample(seeds))
    for row in (0, 4, 7, 8, 10):
        np.testing.assert_array_equal(editor.render(editor.sample([seeds[row]]))[0], together[row])
    np.testing.assert_array_equal(editor.render(editor.sample(seeds[::-1]))[::-1], together)
    np.testing.assert_array_equal(editor.render(editor.sample(seeds[3:]))[0], together[3])


def test_a_face_scores_the_same_alone_and_in_a_batch(editor: FaceEditor) -> None:
    images = editor.render(editor.sample(range(11)))
    together = editor.score(images)
    for row in (0, 7, 10):
        np.testing.assert_array_equal(editor.score(images[row : row + 1])[0], together[row])


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_batches_leave_nothing_out(tiny_bundle: Path, count: int) -> None:
    generator, _ = load_generator(tiny_bundle)
    editor = FaceEditor(generator, device="cpu", batch_size=4)
    images = editor.render(editor.sample(range(count)))
    assert len(images) == count
    assert len(np.unique(images.reshape(count, -1), axis=0)) == count


@pytest.mark.skipif(not computes_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16")
def test_half_the_precision_is_nearly_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "has_openvino", has_openvino)  # as a user has it
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(resolution=64, fmap_base=256, fmap_max=32))
    editor, fast = (
        FaceEditor(generator, device="cpu", precision=name) for name in ("float32", "bfloat16")
    )
    z = editor.sample(range(3))
    images, close = editor.render(z).astype(int), fast.render(z).astype(int)
    assert 0 < np.abs(images - close).mean() < 1


# ---- edits


def test_no_call_changes_its_arguments_or_the_editor(editor: FaceEditor) -> None:
    z = editor.sample(range(2))
    before = z.copy()
    images = editor.render(z)
    kept = images.copy()
    editor.edit(z, {"Young": -3.0})
    editor.score(images)
    editor.render(editor.sample([9]))
    np.testing.assert_array_equal(z, before)
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_array_equal(editor.render(z), kept)


def test_a_recipe_makes_the_same_edit(editor: FaceEditor) -> None:
    z = editor.sample(range(3))
    options: dict[str, Any] = {"hold": {"Male": 0.5}, "to": {"Smiling": 1.0}}
    recipe = editor.recipe({"Young": -3.0}, seeds=range(3), **options)
    assert (recipe.model, recipe.generator_hash) == ("tiny", editor.generator_hash)
    np.testing.assert_array_equal(
        editor.apply(recipe, z), editor.edit(z, {"Young": -3.0}, **options)
    )


def test_auto_is_the_default_hold(editor: FaceEditor) -> None:
    z = editor.sample([0])
    by_default = editor.edit(z, {"Young": -3.0})
    np.testing.assert_array_equal(by_default, editor.edit(z, {"Young": -3.0}, hold="auto"))
    assert not np.array_equal(by_default, editor.edit(z, {"Young": -3.0}, hold="none"))


def test_holding_male_fully_leaves_its_distance(editor: FaceEditor) -> None:
    z = editor.sample(range(64))
    male = editor.boundaries.index("Male")
    for step in (-3.0, 3.0):
        edited = editor.edit(z, {"Young": step}, hold=["Male"])
        change = editor.distances(edited)[:, male] - editor.distances(z)[:, male]
        assert np.abs(change).max() <= 1e-5


# ---- what is refused

IMAGES = np.zeros((2, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.sample([-1]), "out of range"),
        (lambda e: e.sample([2**32]), "out of range"),
        (lambda e: e.render(np.zeros((2, 512))), r"shape \[N, 64\]"),
        (lambda e: e.render(np.zeros((0, 64))), r"shape \[N, 64\]"),
        (lambda e: e.render(np.full((1, 64), np.nan)), "NaN"),
        (lambda e: e.render("z"), "latents must"),
        (lambda e: e.distances(np.zeros((2, 65))), r"shape \[N, 64\]"),
        (lambda e: e.score(IMAGES[:0]), "no face"),
        (lambda e: e.score(IMAGES[0, 0]), "uint8"),
        (lambda e: e.score(IMAGES / 255), "uint8"),
        (lambda e: e.score(IMAGES[..., :2]), "uint8"),
        (lambda e: e.score(5), "uint8"),
        (lambda e: e.age(IMAGES), "no age estimator"),
        (lambda e: e.edit(np.zeros((1, 63)), {"Young": 1}), r"shape \[N, 64\]"),
        (lambda e: e.edit(np.ones((1, 64)), {}), "no attribute"),
        (lambda e: e.edit(np.ones((1, 64)), None), "no attribute"),
        (lambda e: e.edit(np.ones((1, 64)), {"Yuong": 1}), "did you mean 'Young'"),
        (lambda e: e.edit(np.ones((1, 64)), {"Young": np.nan}), "step of Young"),
        (lambda e: e.edit(np.ones((1, 64)), to={"Young": np.inf}), "distance of Young"),
        (lambda e: e.edit(np.ones((1, 64)), {"Young": 1}, hold="Mael"), "did you mean 'Male'"),
        (lambda e: e.edit(np.ones((1, 64)), {"Young": 1}, hold={"Male": 2}), "discount of Male"),
    ],
)
def test_bad_arguments_are_value_errors_that_say_so(
    editor: FaceEditor, call: Any, message: str
) -> None:
    with pytest.raises(LatentEditError, match=message):
        call(editor)
    assert issubclass(LatentEditError, ValueError)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"batch_size": -4}, {"device": "abacus"}, {"precision": "float64"}],
)
def test_bad_options(tiny_generator: Generator, options: dict[str, Any]) -> None:
    with pytest.raises(LatentEditError):
        FaceEditor(tiny_generator, **options)


def test_parts_that_are_not_there_are_named(tiny_generator: Generator) -> None:
    editor = FaceEditor(tiny_generator, device="cpu")
    z = editor.sample([0])
    with pytest.raises(LatentEditError, match="has no classifier"):
        editor.score(editor.render(z))
    with pytest.raises(LatentEditError, match="has no classifier"):
        assert editor.classifier_hash
    with pytest.raises(LatentEditError, match="latentedit boundaries fit"):
        editor.edit(z, {"Young": 1.0})
    with pytest.raises(LatentEditError, match="latentedit boundaries fit"):
        editor.distances(z)
    assert editor.attributes == ATTRIBUTES


def test_boundaries_of_another_generator_are_refused(
    tiny_bundle: Path, tiny_classifier: AttributeClassifier
) -> None:
    torch.manual_seed(99)
    other = Generator(GeneratorConfig(resolution=16, latent_dim=64, fmap_base=64, fmap_max=16))
    boundaries = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    with pytest.raises(LatentEditError) as caught:
        FaceEditor(other, tiny_classifier, boundaries=boundaries)
    assert boundaries.generator_hash in str(caught.value)
    assert weights_hash(other) in str(caught.value)
    assert "latentedit boundaries fit" in str(caught.value)


def test_another_batch_size_shares_the_networks(tiny_bundle: Path) -> None:
    one = FaceEditor.load(tiny_bundle, device="cpu")
    four = one.with_batch_size(4)
    assert (one.batch_size, four.batch_size) == (1, 4)
    assert four.generator is one.generator
    z = one.sample(range(6))
    difference = np.abs(one.render(z).astype(int) - four.render(z))
    assert difference.max() <= 1
    with pytest.raises(LatentEditError, match="batch size 0"):
        one.with_batch_size(0)


# ---- loading


def test_a_bundle_without_classifier_or_boundaries_still_renders(tiny_bundle: Path) -> None:
    for part in ("classifier", "boundaries"):
        (tiny_bundle / f"{part}.safetensors").unlink()
        (tiny_bundle / f"{part}.json").unlink()
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    assert editor.render(editor.sample([0])).shape == (1, 16, 16, 3)


def test_a_bundle_without_classifier_is_judged_by_the_shipped_networks(tiny_bundle: Path) -> None:
    own = FaceEditor.load(tiny_bundle, device="cpu")
    assert not own.estimates_age
    for suffix in (".safetensors", ".json"):
        (tiny_bundle / "classifier").with_suffix(suffix).unlink()
    editor, shipped = FaceEditor.load(tiny_bundle, device="cpu"), FaceEditor.load(device="cpu")
    assert editor.generator_hash == own.generator_hash
    assert editor.classifier_hash == shipped.classifier_hash != own.classifier_hash
    assert editor.age_hash == shipped.age_hash
    images = editor.render(editor.sample([0, 1]))
    np.testing.assert_array_equal(editor.score(images), shipped.score(images))
    again = editor.save_pretrained(tiny_bundle / "whole")
    assert again is None  # not pushed
    assert FaceEditor.load(tiny_bundle / "whole").classifier_hash == shipped.classifier_hash


@pytest.mark.parametrize("part", ["generator", "classifier", "boundaries"])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_half_a_part_is_refused(tiny_bundle: Path, part: str, suffix: str) -> None:
    (tiny_bundle / part).with_suffix(suffix).unlink()
    with pytest.raises(LatentEditError, match=rf"{part}\{suffix} is missing"):
        FaceEditor.load(tiny_bundle, device="cpu")


@pytest.mark.parametrize("part", ["generator", "classifier", "boundaries"])
def test_changed_weights_are_noticed(tiny_bundle: Path, part: str) -> None:
    path = tiny_bundle / f"{part}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LatentEditError, match="checksum"):
        FaceEditor.load(tiny_bundle, device="cpu")


def test_a_folder_given_with_a_trailing_dot_keeps_its_name(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_bundle)
    assert FaceEditor.load(".", device="cpu").name == "tiny"


def test_an_edit_imports_nothing_that_it_does_not_need() -> None:
    """What would slow down the start of every command."""
    heavy = "sklearn scipy pandas matplotlib dlib gradio onnxruntime huggingface_hub torchmetrics"
    code = (
        "import sys; import latentedit.editing.strips; "
        f"sys.exit(' '.join(sys.modules.keys() & set({heavy.split()!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_boundaries_do_not_hold_where_psi_changes_the_generator(tiny_bundle: Path) -> None:
    assert FaceEditor.load(tiny_bundle, psi=1).has_boundaries
    other = FaceEditor.load(tiny_bundle, psi=0.5)
    with pytest.raises(LatentEditError, match=r"another psi makes .* leave psi out"):
        _ = other.boundaries


def test_boundaries_that_were_fitted_at_another_psi(tiny_bundle: Path) -> None:
    other = FaceEditor.load(tiny_bundle, psi=0.5)
    plain = FaceEditor.load(tiny_bundle).boundaries
    own = replace(plain, generator_hash=other.generator_hash)
    assert other.with_boundaries(own).boundaries is own


def test_boundaries_of_another_space_are_left_out(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "model")
    editor = FaceEditor.load(folder, device="cpu")
    assert editor.space == "w"
    replace(editor.boundaries, space="z").save(tmp_path / "z.safetensors")
    both = FaceEditor.load(folder, boundaries=tmp_path / "z.safetensors", space="z", device="cpu")
    assert both.boundaries.space == both.space == "z"
    own = FaceEditor.load(folder, boundaries=tmp_path / "z.safetensors", space="w", device="cpu")
    assert own.boundaries.names == editor.boundaries.names
