"""`latentedit convert`, `models` and `boundaries import/export`, run in this process."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import checkpoint_writers as writers
import numpy as np
import pytest
import torch

from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import Pool
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.pretrained.bundles import load_generator, save_part


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line; returns exit code, standard output and standard error."""
    from latentedit.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["latentedit", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


@pytest.fixture
def pggan(tmp_path) -> Path:
    path = tmp_path / "pggan.pth"
    torch.save(writers.pggan_state("interfacegan", [8, 8]), path)
    return path


def test_convert_then_use(run, tmp_path, pggan):
    code, out, err = run("convert", pggan, "-o", tmp_path / "bundle")
    assert (code, err) == (0, "")
    assert "InterFaceGAN progressive GAN, 8 x 8, latents of length 24: 10 keys used" in out
    assert "note: the file has no outputs below" in out
    _, card = load_generator(tmp_path / "bundle")
    assert card["network"] == "progressive"
    code, out, _ = run("models", "check", tmp_path / "bundle")
    assert code == 0
    assert f"weights {card['weights_hash']}; renders 8 x 8" in out
    code, out, _ = run("models", "show", tmp_path / "bundle", "--json")
    assert json.loads(out)["generator"]["converted"]["from"] == "pggan.pth"
    code, out, _ = run("models", "show", tmp_path / "bundle")
    assert "format" in out
    code, out, _ = run("models", "list", "--json")
    assert isinstance(json.loads(out), list)


def test_convert_says_what_it_leaves_out(run, tmp_path):
    writers.write_gan_zoo(tmp_path / "zoo.pth", writers.gan_zoo_state([4, 4]))
    _, out, _ = run("convert", tmp_path / "zoo.pth", "-o", tmp_path / "a")
    assert "not used: netD (not part of the generator)" in out
    _, out, _ = run("convert", tmp_path / "zoo.pth", "-o", tmp_path / "b", "--json")
    report = json.loads(out)
    assert report["resolution"] == 8
    assert set(report["unused"]) == {"config", "netG", "netD"}


def test_a_stylegan2_in_w(run, tmp_path):
    path, bundle = tmp_path / "stylegan2.pt", tmp_path / "bundle"
    writers.write_rosinality(path, writers.rosinality_state([8, 4]), torch.zeros(16))
    assert run("convert", path, "-o", bundle, "--space", "w", "--truncation", "0.7")[0] == 0
    code, out, _ = run("models", "check", bundle)
    assert code == 0
    assert "renders 8 x 8" in out
    np.save(tmp_path / "age.npy", np.eye(16, dtype=np.float32)[:1])
    options = ("--name", "Young", "--sign", -1, "--model", bundle)
    output = bundle / "boundaries.safetensors"
    importing = ("boundaries", "import", tmp_path / "age.npy", *options, "-o")
    assert run(*importing, tmp_path / "in-z.safetensors", "--space", "z")[0] == 0  # it has both
    assert Boundaries.load(tmp_path / "in-z.safetensors").space == "z"
    assert run(*importing, output, "--space", "w")[0] == 0
    assert Boundaries.load(output).space == "w"
    assert run("models", "check", bundle)[0] == 0
    (bundle / "effects.safetensors").write_text("junk")
    assert run("models", "check", bundle)[0] == 2


def test_a_pool_and_boundaries_in_w_of_a_model_in_z(run, tmp_path):
    classifier = AttributeClassifier(
        ClassifierConfig(8, 4, (4,), (1,), attributes=("Young", "Male"))
    ).eval()
    path, bundle, pool = tmp_path / "stylegan2.pt", tmp_path / "bundle", tmp_path / "pool"
    writers.write_rosinality(path, writers.rosinality_state([8, 4]), torch.zeros(16))
    assert run("convert", path, "-o", bundle)[0] == 0
    save_part(bundle, "classifier", classifier, classifier.config, {})
    build = ("pool", "build", "--model", bundle, "--n", 500, "-o")
    assert run(*build, pool, "--space", "w")[0] == 0
    z, _ = Pool(pool).load()
    generator, _ = load_generator(bundle)
    np.testing.assert_array_equal(z[:3], generator.in_space("w").sample(Pool(pool).seeds_of(0)[:3]))
    fit = ("boundaries", "fit", "-o", bundle / "boundaries.safetensors", "--pool")
    code, _, err = run(*fit, pool)
    assert (code, Pool(pool).space) == (0, "w"), err
    assert Boundaries.load(bundle / "boundaries.safetensors").space == "w"
    editor = FaceEditor.load(bundle, device="cpu")  # follows its boundaries
    assert editor.space == "w"
    assert editor.edit(editor.sample([0]), {"Young": 1.0}, hold="none").shape == (1, 16)
    with_z = FaceEditor.load(bundle, device="cpu", space="z")
    assert with_z.space == "z"
    with pytest.raises(LatentEditError, match="no boundaries"):
        assert with_z.boundaries
    assert run(*build, pool)[0] == 0  # the same space again: nothing to do
    code, _, err = run(*build, pool, "--space", "z")
    assert (code, "space 'w', not 'z'" in err) == (2, True)


def test_a_model_with_one_space(run, tmp_path, tiny_bundle):
    pool = ("pool", "build", "--n", 2, "--model", tiny_bundle, "-o", tmp_path / "pool", "--space")
    code, _, err = run(*pool, "w")
    assert (code, "used in space z only" in err) == (2, True)
    assert run(*pool, "z")[0] == 0


def test_an_onnx_file_becomes_a_bundle(run, tmp_path, tiny_classifier):
    weight = np.random.RandomState(0).randn(10, 48).astype(np.float32)
    path, bundle = tmp_path / "dcgan.onnx", tmp_path / "bundle"
    writers.write_onnx(path, weight)
    code, out, err = run("convert", path, "-o", bundle, "--value-range", "0", "1")
    assert code == 0, err
    assert "4 x 4, latents of length 10" in out
    assert (bundle / "generator.onnx").read_bytes() == path.read_bytes()
    path.unlink()
    assert run("models", "check", bundle)[0] == 0
    save_part(bundle, "classifier", tiny_classifier, tiny_classifier.config, {})
    editor = FaceEditor.load(bundle, device="cpu")
    z = editor.sample(range(3))
    wanted = 255 / (1 + np.exp(-z @ weight)).reshape(3, 3, 4, 4).transpose(0, 2, 3, 1)
    assert np.abs(editor.render(z) - wanted).max() <= 1
    assert run("pool", "build", "--n", 5, "--model", bundle, "-o", tmp_path / "pool")[0] == 0
    code, _, err = run("convert", bundle / "generator.onnx", "-o", bundle)
    assert (code, "holds a generator already" in err) == (2, True)
    (bundle / "generator.onnx").write_bytes(b"\x08\x07")
    code, _, err = run("models", "check", bundle)
    assert (code, "checksum" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--truncation", 0.5), "truncation, which need a mapping network"),
        (("--value-range", 1, 1), "is empty"),
    ],
)
def test_options_that_do_not_fit_an_onnx_file(run, tmp_path, options, words):
    writers.write_onnx(tmp_path / "a.onnx", np.ones((10, 48), np.float32))
    code, _, err = run("convert", tmp_path / "a.onnx", "-o", tmp_path / "bundle", *options)
    assert (code, words in err) == (2, True)
    assert not (tmp_path / "bundle").exists()


def test_a_value_range_is_for_onnx_only(run, tmp_path, pggan):
    code, _, err = run("convert", pggan, "-o", tmp_path / "bundle", "--value-range", 0, 1)
    assert (code, "for ONNX files only" in err) == (2, True)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch the-pickle-ran",)


def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, pggan, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = tmp_path / "hostile.pkl"
    hostile.write_bytes(pickle.dumps(Hostile()))
    (tmp_path / "taken").write_text("")
    np.save(tmp_path / "age.npy", np.eye(24, dtype=np.float32)[:1])
    assert run("convert", pggan, "-o", tmp_path / "model")[0] == 0
    importing = ("boundaries", "import", "age.npy", "--name", "Young", "--model", "model")
    for arguments in (
        ("convert", hostile, "-o", "new"),
        ("convert", "none.pth", "-o", "new"),
        ("convert", pggan, "-o", "taken"),
        ("convert", pggan, "-o", "taken/new"),
        ("convert", pggan, "-o", "model"),
        ("convert", pggan),
        ("convert", pggan, "-o", "new", "--truncation", "2"),
        ("models", "show", "none"),
        ("models", "check", tmp_path),
        (*importing, "--sign", "3", "--space", "z", "-o", "b.safetensors"),
        (*importing, "--sign", "-1", "--space", "w", "-o", "b.safetensors"),
        (*importing, "--sign", "-1", "-o", "b.safetensors"),
        (*importing, "--sign", "-1", "--space", "z", "-o", "b.npy"),
        ("boundaries", "export", "b.safetensors", "--name", "Young", "-o", "a.npy"),
    ):
        before = sorted(path.name for path in tmp_path.rglob("*"))
        code, _, err = run(*arguments)
        assert code == 2, arguments
        assert err.startswith("latentedit: "), arguments
        assert err.count("\n") == 1, err
        assert sorted(path.name for path in tmp_path.rglob("*")) == before, arguments


def test_boundaries_in_and_out(run, tmp_path, pggan):
    run("convert", pggan, "-o", tmp_path / "model")
    np.save(tmp_path / "age.npy", np.eye(24, dtype=np.float32)[:1])
    np.save(tmp_path / "smile.npy", np.eye(24, dtype=np.float32)[1:2])
    output = tmp_path / "model" / "boundaries.safetensors"
    for name, sign in (("young", -1), ("smiling", 1)):
        file = "age.npy" if name == "young" else "smile.npy"
        options = ("--sign", sign, "--space", "z", "--model", tmp_path / "model", "-o", output)
        code, out, _ = run("boundaries", "import", tmp_path / file, "--name", name, *options)
        assert code == 0
        assert "space z, for model model" in out
    boundaries = Boundaries.load(output)
    assert boundaries.names == ("Young", "Smiling")
    assert boundaries.normals[0, 0] == -1
    _, card = load_generator(tmp_path / "model")
    assert boundaries.generator_hash == card["weights_hash"]
    card = json.loads(output.with_suffix(".json").read_text())
    assert card["imported_from"] == ["age.npy", "smile.npy"]
    back = tmp_path / "back.npy"
    arguments = ("boundaries", "export", output, "--name", "Young", "--sign", "-1", "-o", back)
    assert run(*arguments)[0] == 0
    assert np.array_equal(np.load(back), np.load(tmp_path / "age.npy"))
