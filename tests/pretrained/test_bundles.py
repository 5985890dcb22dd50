"""Bundles: found by name or folder, whole or refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.io.files import sha256
from latentedit.pretrained import bundles as pretrained
from latentedit.pretrained.bundles import (
    bundle_names,
    find_bundle,
    load_classifier,
    load_generator,
    save_part,
)
from latentedit.pretrained.hashing import weights_hash


def change_card(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


# ---- round trip


def test_networks_survive_saving(
    tiny_bundle: Path, tiny_generator: Generator, tiny_classifier: AttributeClassifier
) -> None:
    generator, card = load_generator(tiny_bundle)
    assert not generator.training
    assert weights_hash(generator) == weights_hash(tiny_generator) == card["weights_hash"]
    assert generator.config == tiny_generator.config
    classifier, card = load_classifier(tiny_bundle)
    assert not classifier.training
    assert weights_hash(classifier) == weights_hash(tiny_classifier) == card["weights_hash"]
    assert classifier.config == tiny_classifier.config


def test_the_card_says_where_the_weights_come_from(tiny_bundle: Path) -> None:
    card = json.loads((tiny_bundle / "generator.json").read_text())
    assert card["kind"] == "generator"
    assert card["sha256"] == sha256(tiny_bundle / "generator.safetensors")
    assert card["config"] == {**asdict(GeneratorConfig()), **card["config"]}
    assert "non-commercial" in card["terms"]
    assert {"data", "commands", "options"} <= card.keys()


def test_saving_fails_whole(tiny_bundle: Path) -> None:
    before = {path.name: path.read_bytes() for path in tiny_bundle.iterdir()}
    torch.manual_seed(5)
    other = Generator(GeneratorConfig(resolution=8, latent_dim=8, fmap_base=16, fmap_max=4))
    with pytest.raises(TypeError):
        save_part(tiny_bundle, "generator", other, other.config, {"data": object()})
    assert {path.name: path.read_bytes() for path in tiny_bundle.iterdir()} == before


def test_where_a_bundle_cannot_be_saved(tmp_path: Path, tiny_generator: Generator) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LatentEditError, match="cannot create folder"):
        save_part(tmp_path / "file", "generator", tiny_generator, tiny_generator.config, {})


def test_loading_leaves_torchs_random_numbers_alone(tiny_bundle: Path) -> None:
    state = torch.random.get_rng_state()
    load_generator(tiny_bundle)
    assert torch.equal(torch.random.get_rng_state(), state)


# ---- finding


@pytest.fixture
def shipped(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_bundle` as if it came with the package, and the default."""
    monkeypatch.setattr(pretrained, "_ROOTS", (tiny_bundle.parent,))
    monkeypatch.setattr(pretrained, "EMBEDDED_BUNDLE", "tiny")
    return tiny_bundle


def test_bundles_are_found_by_name_and_by_folder(shipped: Path, tmp_path: Path) -> None:
    assert bundle_names() == ["tiny"]
    assert find_bundle() == find_bundle("tiny") == shipped
    assert find_bundle(shipped) == find_bundle(str(shipped)) == shipped
    assert find_bundle(tmp_path) == tmp_path


def test_folders_are_looked_up_from_where_the_user_stands(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "nested").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mine" / "nested")
    assert find_bundle(".").resolve() == Path.cwd()
    assert find_bundle("..").resolve() == tmp_path / "mine"


@pytest.mark.parametrize("name", ["", "celeba65", "tiny/generator.json", "/nowhere", "\0"])
def test_what_is_neither_is_refused_with_the_names_there_are(shipped: Path, name: str) -> None:
    with pytest.raises(LatentEditError, match="one of: tiny"):
        find_bundle(name)


# ---- what is refused


@pytest.mark.parametrize("name", ["generator.safetensors", "generator.json"])
def test_missing_files_are_named(tiny_bundle: Path, name: str) -> None:
    (tiny_bundle / name).unlink()
    with pytest.raises(LatentEditError, match=f"{name} is missing"):
        load_generator(tiny_bundle)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"generator\.safetensors is missing"):
        load_generator(tmp_path)
    with pytest.raises(LatentEditError, match="not a folder"):
        load_generator(tmp_path / "nowhere")


def test_a_wrong_checksum(tiny_bundle: Path) -> None:
    path = tiny_bundle / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(LatentEditError, match="checksum"):
        load_generator(tiny_bundle)


def test_weights_of_another_shape_say_which(tiny_bundle: Path) -> None:
    card = tiny_bundle / "generator.json"
    config = json.loads(card.read_text())["config"]
    change_card(card, config={**config, "latent_dim": 65})
    with pytest.raises(LatentEditError, match="does not fit its card") as caught:
        load_generator(tiny_bundle)
    assert r"[256, 64] where [256, 65] is expected" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("drop", [True, False])
def test_missing_and_surplus_weights_are_named(tiny_bundle: Path, drop: bool) -> None:
    path = tiny_bundle / "generator.safetensors"
    state = load_file(path)
    if drop:
        del state["blocks.0.conv.bias"]
    else:
        state["more"] = torch.zeros(())
    save_file(state, path)
    change_card(tiny_bundle / "generator.json", sha256=sha256(path))
    with pytest.raises(LatentEditError, match=r"blocks\.0\.conv\.bias" if drop else "more is"):
        load_generator(tiny_bundle)


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        3,
        {"resolution": 63},
        {"resolution": 16.5},
        {"resolution": "16"},
        {"resolution": -16},
        {"latent_dim": "64"},
        {"latent_dim": 0},
        {"latent_dim": -1},
        {"fmap_max": 0},
        {"fmap_max": -3},
        {"fmap_base": None},
        {"fmap_max": 10**15},
        {"surprise": 1},
    ],
)
def test_configurations_that_build_nothing(tiny_bundle: Path, config: Any) -> None:
    change_card(tiny_bundle / "generator.json", config=config)
    with pytest.raises(LatentEditError, match="generator"):
        load_generator(tiny_bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"kind": "generator"}'])
def test_damaged_cards(tiny_bundle: Path, text: str) -> None:
    (tiny_bundle / "generator.json").write_text(text)
    with pytest.raises(LatentEditError, match=r"generator\.|is not valid JSON"):
        load_generator(tiny_bundle)


def test_a_part_under_another_name(tiny_bundle: Path) -> None:
    for suffix in (".json", ".safetensors"):
        (tiny_bundle / f"classifier{suffix}").replace(tiny_bundle / f"generator{suffix}")
    with pytest.raises(LatentEditError, match="not the card of generator"):
        load_generator(tiny_bundle)


def test_weights_that_are_not_safetensors(tiny_bundle: Path) -> None:
    path = tiny_bundle / "classifier.safetensors"
    torch.save({"weight": torch.zeros(1)}, path)
    change_card(tiny_bundle / "classifier.json", sha256=sha256(path))
    with pytest.raises(LatentEditError, match="not a safetensors file"):
        load_classifier(tiny_bundle)


def test_the_portrait_networks_bundle_is_found_and_fits() -> None:
    folder = pretrained.find_bundle(part="portrait")
    assert folder.name == pretrained.PORTRAIT_BUNDLE
    assert pretrained.find_bundle("portrait", part="portrait") == folder
    assert "portrait" not in pretrained.bundle_names()
    network, card = pretrained.load_portrait(folder)
    assert tuple(card["config"]["qualities"]) == network.config.qualities
    assert (folder / "portrait.safetensors").stat().st_size <= 5_000_000
    assert set(card["figures"]["qualities"]) == set(network.config.qualities)
    with pytest.raises(LatentEditError, match=r"no model 'faces128'.*one of: portrait"):
        pretrained.find_bundle("faces128", part="portrait")
