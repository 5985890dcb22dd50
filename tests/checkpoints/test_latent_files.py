"""Latents and directions as other tools save them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tiny_generators
import torch

from latentedit.checkpoints import latent_files
from latentedit.checkpoints.boundaries_npy import import_boundary, read_direction
from latentedit.checkpoints.latent_files import fit_latents, read_latents
from latentedit.errors import LatentEditError
from latentedit.generators.latents import normalize, save_latents
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.pretrained.hashing import weights_hash

IN_Z = tiny_generators.progressive()  # z [N, 16]
IN_W = tiny_generators.stylegan2()  # w [N, 16], 6 layers
W = IN_W.sample(range(3))
Z = IN_Z.sample(range(3))


def fit(path, generator):
    return fit_latents(path, generator, weights_hash(generator), "tiny")


def saved(tmp_path, form: str, values: np.ndarray):
    path = tmp_path / f"latents.{form.partition(' ')[0]}"
    if form == "npy":
        np.save(path, values)
    elif form.startswith("npz"):
        np.savez(path, **{form.partition(" ")[2]: values})
    elif form == "pt":
        torch.save(torch.from_numpy(values), path)
    elif form == "pt list":
        torch.save([torch.from_numpy(row) for row in values], path)
    elif form.startswith("pt"):
        torch.save({form.partition(" ")[2]: torch.from_numpy(values)}, path)
    elif form == "pkl":
        path.write_bytes(pickle.dumps({"w": values}))
    else:
        save_latents(path, values, {"model": "tiny"})
    return path


FORMS = ["npy", "npz w", "npz wp", "npz arr_0", "pt", "pt list", "pt latents", "pkl", "safetensors"]


@pytest.mark.parametrize("form", FORMS)
def test_w_of_every_tool(tmp_path, form):
    values, notes = fit(saved(tmp_path, form, W), IN_W)
    np.testing.assert_array_equal(values, W)
    assert notes == []


def test_normal_numbers_are_no_w(tmp_path, monkeypatch):
    """A z of other tools, which does not lie on the sphere; a model's own w passes at any psi."""
    torch.manual_seed(0)
    generator = MobileStyleGAN(MobileStyleGANConfig(widths=(8, 4), mapping=4, style=256)).eval()
    plain = np.random.RandomState(0).standard_normal((3, 256)).astype(np.float32)
    assert fit(saved(tmp_path, "npy", normalize(plain)), generator.in_space("z"))[1] == []
    with pytest.raises(LatentEditError, match=r"normal numbers.* used in w"):
        fit(saved(tmp_path, "npy", plain), generator)
    length = np.linalg.norm(generator.sample([0])) / 16
    monkeypatch.setattr(latent_files, "_normal", lambda values: np.array(len(values) == 3))
    named = fit(saved(tmp_path, "npz w", plain * length), generator)  # its maker knows
    np.testing.assert_array_equal(named[0], plain * length)
    monkeypatch.undo()
    for psi in (0.3, 1.0):
        w = generator.truncated(psi).sample(range(3))
        np.testing.assert_array_equal(fit(saved(tmp_path, "npy", w), generator)[0], w)


@pytest.mark.parametrize("form", FORMS)
def test_w_plus_of_every_tool(tmp_path, form):
    layered = np.repeat(W[:, None], 6, axis=1)
    values, notes = fit(saved(tmp_path, form, layered), IN_W)
    np.testing.assert_array_equal(values, W)  # a projector's w, the same in every layer
    assert "all 6 layers are alike" in notes[0]
    layered = layered + np.arange(6, dtype=np.float32)[None, :, None] / 10
    values, notes = fit(saved(tmp_path, form, layered), IN_W)
    np.testing.assert_array_equal(values, layered)
    for other in (layered[:, :5], np.concatenate((layered, layered), 1)):
        with pytest.raises(LatentEditError, match=f"W\\+ latents of {other.shape[1]} layers"):
            fit(saved(tmp_path, form, other), IN_W)
    with pytest.raises(LatentEditError, match=r"one latent for all|space w, tiny is used in z"):
        fit(saved(tmp_path, form, layered), IN_Z)


@pytest.mark.parametrize(
    "shape", [(16,), (1, 16), (1, 1, 16), (1, 16, 1, 1), (1, 1, 1, 16), (1, 6, 16), (1, 1, 6, 16)]
)
def test_shapes_of_one_latent(tmp_path, shape):
    row = W[:1] if 6 not in shape else np.repeat(W[:1, None], 6, axis=1)
    np.save(tmp_path / "a.npy", row.reshape(shape))
    np.testing.assert_array_equal(fit(tmp_path / "a.npy", IN_W)[0], W[:1])


@pytest.mark.parametrize("scale", [1 / 4, 0.01, 1.5, 50])
def test_z_is_scaled_as_the_generator_does(tmp_path, scale):
    np.save(tmp_path / "z.npy", Z * np.float32(scale))
    values, notes = fit(tmp_path / "z.npy", IN_Z)
    np.testing.assert_allclose(values, Z, rtol=1e-5)
    assert len(notes) == 1
    assert "scaled to 4" in notes[0]


def test_z_near_its_sphere_stays_as_it_is(tmp_path):
    np.save(tmp_path / "z.npy", 1.1 * Z)  # edited, or plain normal numbers
    values, notes = fit(tmp_path / "z.npy", IN_Z)
    np.testing.assert_array_equal(values, (1.1 * Z).astype(np.float32))
    assert notes == []


def test_w_for_a_model_in_z_and_z_for_one_in_w(tmp_path):
    lengths = np.array([[1.0], [2.5], [0.7]], np.float32)
    np.save(tmp_path / "w.npy", Z * lengths)
    with pytest.raises(LatentEditError, match="another space"):
        fit(tmp_path / "w.npy", IN_Z)
    np.save(tmp_path / "z.npy", Z)
    with pytest.raises(LatentEditError, match=r"latents of space z.*savez"):
        fit(tmp_path / "z.npy", IN_W)
    np.savez(tmp_path / "named.npz", w=1.01 * Z)
    with pytest.raises(LatentEditError, match="holds latents of space w"):
        fit(tmp_path / "named.npz", IN_Z)


@pytest.mark.parametrize("form", ["npz z", "pt z", "safetensors"])
@pytest.mark.parametrize("length", [1.0, 1.01, 0.1])
def test_what_a_file_calls_z_is_mapped(tmp_path, form, length):
    own = {"generator_hash": weights_hash(IN_W), "space": "z"}
    z = IN_W.in_space("z").sample(range(3)) * np.float32(length)
    path = saved(tmp_path, form, z)
    if form == "safetensors":
        save_latents(path, z, own)
    values, notes = fit(path, IN_W)
    np.testing.assert_allclose(values, W, atol=1e-5)
    assert "mapped to w, as seeds are (psi 0.7)" in notes[-1]
    values, _ = fit(path, IN_W.truncated(1.0))
    np.testing.assert_allclose(values, IN_W.truncated(1.0).sample(range(3)), atol=1e-5)


def test_z_of_another_model_is_not_mapped(tmp_path):
    for values in (Z, np.stack([IN_W.in_space("z").sample(range(6))])):  # 16 numbers; with layers
        np.savez(tmp_path / "z.npz", z=values)
        with pytest.raises(LatentEditError, match="calls its latents z"):
            fit(tmp_path / "z.npz", IN_W)
    z = IN_W.in_space("z").sample(range(3))
    save_latents(tmp_path / "z.safetensors", z, {"generator_hash": "f" * 16, "space": "z"})
    with pytest.raises(LatentEditError, match="another model"):
        fit(tmp_path / "z.safetensors", IN_W)


@pytest.mark.parametrize("scale", [0.02, 50])
def test_w_of_another_length_is_refused(tmp_path, scale):
    np.save(tmp_path / "w.npy", W * np.float32(scale))
    with pytest.raises(LatentEditError, match="they were scaled, or are another model's"):
        fit(tmp_path / "w.npy", IN_W)


def test_a_models_own_latents_may_be_far_out(tmp_path):
    path = tmp_path / "w.safetensors"
    far = W * np.float32(50)
    save_latents(path, far, {"generator_hash": weights_hash(IN_W), "space": "w"})
    np.testing.assert_array_equal(fit(path, IN_W)[0], far)


def test_the_stored_model_and_space_are_compared(tmp_path):
    path = tmp_path / "z.safetensors"
    own = {"model": "tiny", "generator_hash": weights_hash(IN_Z), "space": "z"}
    save_latents(path, Z, own)
    np.testing.assert_array_equal(fit(path, IN_Z)[0], Z)
    save_latents(path, Z, {**own, "generator_hash": "f" * 16, "model": "other"})
    with pytest.raises(LatentEditError, match=r"another model \(other, generator ffff"):
        fit(path, IN_Z)
    save_latents(path, Z, {**own, "space": "w"})
    with pytest.raises(LatentEditError, match="holds latents of space w"):
        fit(path, IN_Z)


def test_files_that_are_no_latents(tmp_path):
    np.savez(tmp_path / "two.npz", a=W, b=W)
    with pytest.raises(LatentEditError, match=r"several arrays \(a \[3, 16\], b"):
        read_latents(tmp_path / "two.npz")
    np.savez(tmp_path / "w.npz", w=W, loss=np.zeros(3), name=np.array("x"))
    assert read_latents(tmp_path / "w.npz").space == "w"
    np.save(tmp_path / "o.npy", np.array({"a": W}, dtype=object), allow_pickle=True)
    with pytest.raises(LatentEditError, match="Python objects"):
        read_latents(tmp_path / "o.npy")
    np.save(tmp_path / "wide.npy", np.zeros((2, 20)))
    with pytest.raises(LatentEditError, match="another model's than tiny's, whose w has 16"):
        fit(tmp_path / "wide.npy", IN_W)
    for content, words in ((b"", "is empty"), (b"<html>", "web page"), (b"1,2,3", "a text")):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(LatentEditError, match=words):
            read_latents(tmp_path / "a.npy")


def test_latents_far_from_the_sphere_are_not_edited():
    from latentedit.editing.editor import FaceEditor

    editor = FaceEditor(IN_Z, device="cpu")
    np.testing.assert_array_equal(editor.lay_out(Z), Z)
    for wrong in (Z / 4, Z * 50):
        with pytest.raises(LatentEditError, match="normalize"):
            editor.lay_out(wrong)
        np.testing.assert_allclose(editor.lay_out(normalize(wrong)), Z, rtol=1e-5)


# Directions ------------------------------------------------------------------------------------

NORMALS = np.linalg.qr(np.random.RandomState(0).randn(16, 16))[0][:5]


def direction(path, component=None):
    return read_direction(path, component).values


@pytest.mark.parametrize("form", ["npy", "npz boundary", "pt", "pkl"])
@pytest.mark.parametrize("shape", [(16,), (1, 16), (1, 1, 16)])
def test_one_direction_of_every_tool(tmp_path, form, shape):
    path = saved(tmp_path, form, 3 * NORMALS[0].reshape(shape))
    np.testing.assert_allclose(direction(path), NORMALS[0], atol=1e-12)


def test_w_plus_directions(tmp_path):
    alike = np.repeat(NORMALS[:1, None], 18, axis=1)
    np.save(tmp_path / "a.npy", alike)
    np.testing.assert_allclose(direction(tmp_path / "a.npy"), NORMALS[0], atol=1e-12)
    alike[:, :4] = 0
    alike[:, 8:] = 0
    np.save(tmp_path / "a.npy", alike)
    found = read_direction(tmp_path / "a.npy")
    np.testing.assert_allclose(found.values, NORMALS[0], atol=1e-12)
    assert found.notes == ["it moves layers 4-7 only: edit with --layers 4-7"]
    np.save(tmp_path / "a.npy", NORMALS[None])
    with pytest.raises(LatentEditError, match="for each of 5 layers"):
        direction(tmp_path / "a.npy")


def test_one_of_several_directions(tmp_path):
    np.save(tmp_path / "a.npy", NORMALS)
    with pytest.raises(LatentEditError, match="--component 0 to 4"):
        direction(tmp_path / "a.npy")
    np.testing.assert_allclose(direction(tmp_path / "a.npy", "3"), NORMALS[3], atol=1e-12)
    with pytest.raises(LatentEditError, match="no 5"):
        direction(tmp_path / "a.npy", "5")
    names = {f"0{n}_name{n}": torch.from_numpy(NORMALS[n : n + 1]) for n in range(3)}  # anycost
    torch.save(names, tmp_path / "b.pt")
    np.testing.assert_allclose(direction(tmp_path / "b.pt", "01_name1"), NORMALS[1], atol=1e-12)
    with pytest.raises(LatentEditError, match="several arrays"):
        direction(tmp_path / "b.pt")
    with pytest.raises(LatentEditError, match="no direction 'x'"):
        direction(tmp_path / "b.pt", "x")


def test_sefa_and_ganspace(tmp_path):
    full = np.linalg.qr(np.random.RandomState(1).randn(16, 16))[0]
    torch.save({"ckpt": "a.pt", "eigvec": torch.from_numpy(full)}, tmp_path / "factor.pt")
    np.testing.assert_allclose(direction(tmp_path / "factor.pt", "2"), full[:, 2], atol=1e-12)
    parts = {
        "act_comp": np.zeros((5, 1, 16)),
        "lat_mean": np.zeros((1, 16)),
        "lat_stdev": np.ones(5),
    }
    np.savez(tmp_path / "ipca.npz", **parts, lat_comp=NORMALS[:, None])
    np.testing.assert_allclose(direction(tmp_path / "ipca.npz", "4"), NORMALS[4], atol=1e-12)


def test_a_direction_by_its_number_becomes_a_boundary(tmp_path):
    np.save(tmp_path / "a.npy", NORMALS)
    model = {"space": "w", "generator_hash": "f" * 16, "latent_dim": 16}
    made = import_boundary(tmp_path / "a.npy", "Mine", sign=-1, component="1", **model)
    np.testing.assert_allclose(made.normals, -NORMALS[1:2], atol=1e-12)
