"""Bundles on the Hub, on a Hub made of folders; and what is said without one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import checkpoint_writers as writers
import huggingface_hub
import numpy as np
import pytest
import torch
from photo_models import write_bundle
from torch import nn

from latentedit.cli import main
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.adapters import adapt
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.pretrained import hub
from latentedit.pretrained.model import Bundle

NAME = "someone/tiny"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders in the place of repositories, and of the cache."""
    root = tmp_path / "remote"
    root.mkdir()

    def snapshot(name: str, *, allow_patterns: Any, **options: Any) -> str:
        assert set(options) <= {
            "revision", "cache_dir", "token", "local_files_only", "force_download",
        }  # fmt: skip
        if not (root / name).is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")
        cached = tmp_path / "cache" / "0123abc"
        for pattern in allow_patterns:
            for path in (root / name).glob(pattern):
                cached.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, cached / path.name)
        return str(cached)

    class Api:
        def __init__(self, token: Any = None) -> None:
            self.token = token

        def create_repo(self, name: str, *, private: bool | None, exist_ok: bool) -> None:
            assert exist_ok
            (root / name).mkdir(parents=True, exist_ok=True)

        def upload_folder(self, *, repo_id: str, folder_path: str, **options: Any) -> Any:
            shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)
            return SimpleNamespace(commit_url=f"hub/{repo_id}/{options['commit_message']}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda name, file, revision: str(root / name / file)
    )
    return root


def assert_same(a: FaceEditor, b: FaceEditor) -> None:
    z = a.sample(range(3))
    assert (a.generator_hash, a.classifier_hash) == (b.generator_hash, b.classifier_hash)
    np.testing.assert_array_equal(b.render(z), a.render(z))
    np.testing.assert_array_equal(b.edit(z, {"Young": 2.0}), a.edit(z, {"Young": 2.0}))


def test_a_saved_model_is_the_same_and_keeps_its_cards(tiny_bundle: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    assert editor.save_pretrained(tmp_path / "saved") is None
    saved = FaceEditor.from_pretrained(tmp_path / "saved", device="cpu")
    assert_same(editor, saved)
    assert editor.bundle is not None
    assert saved.bundle is not None
    assert saved.bundle.cards["generator"] == {
        **editor.bundle.cards["generator"],
        "network": "progressive",
    }
    readme = (tmp_path / "saved" / "README.md").read_text()
    assert readme.startswith("---\nlibrary_name: latentedit\n")
    assert editor.generator_hash in readme
    assert saved.bundle.cards["generator"]["terms"] in readme


def test_what_belongs_to_the_generator_goes_with_it(tmp_path: Path, tiny_bundle: Path) -> None:
    editor = FaceEditor.load(write_bundle(tmp_path / "photos"), device="cpu")
    for folder in (tmp_path / "saved", tmp_path / "photos"):  # into itself too
        editor.save_pretrained(folder)
        assert Bundle.find(folder).encoder() is not None
    FaceEditor.load(tiny_bundle, device="cpu").save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("encoder*"))  # it was of another generator


def test_nothing_of_another_bundle_stays(tmp_path: Path, tiny_bundle: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for part in ("age", "effects"):
        (folder / f"{part}.json").write_text(json.dumps({"kind": part}))
    for name in ("generator.onnx", "age.safetensors", "encoder.json", "README.md"):
        (folder / name).write_text("{}")
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    assert not editor.estimates_age
    editor.save_pretrained(folder)
    assert_same(editor, FaceEditor.load(folder, device="cpu"))
    names = {path.name for path in folder.iterdir()}
    assert not names & {"generator.onnx", "age.json", "age.safetensors", "effects.json"}
    for mine in ("encoder.json", "README.md"):  # no card of an encoder, and no model card
        assert (folder / mine).read_text() == "{}"


def test_options_of_a_push_need_one(tmp_path: Path, tiny_bundle: Path) -> None:
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    with pytest.raises(LatentEditError, match=r"private.*push_to_hub"):
        editor.save_pretrained(tmp_path / "saved", private=True)
    assert not (tmp_path / "saved").exists()


def test_a_generator_in_several_files_is_not_pushed(
    tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "external_files", lambda path, data: [Path("big.onnx.data")])
    (tmp_path / "generator.onnx").write_bytes(b"large")
    with pytest.raises(LatentEditError, match=r"weights in big\.onnx\.data.*one ONNX file"):
        hub.upload(tmp_path, NAME)


def test_pushed_and_fetched(tiny_bundle: Path, remote: Path) -> None:
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    assert editor.push_to_hub(NAME, private=True).startswith(f"hub/{NAME}/")
    (remote / NAME / "train.pkl").write_bytes(b"never fetched")
    fetched = FaceEditor.from_pretrained(NAME, revision="main", device="cpu")
    assert fetched.name == "tiny"
    assert_same(editor, fetched)
    assert f"FaceEditor.from_pretrained('{NAME}')" in (remote / NAME / "README.md").read_text()


def test_a_folder_saved_and_pushed_at_once(tiny_bundle: Path, remote: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    url = editor.save_pretrained(tmp_path / "b", repo_id=NAME, push_to_hub=True, branch="next")
    assert url is not None
    assert sorted(path.name for path in (remote / NAME).iterdir()) == sorted(
        path.name for path in (tmp_path / "b").iterdir()
    )


def test_pull(tiny_bundle: Path, remote: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, remote / NAME)
    folder = hub.pull(NAME, tmp_path / "models" / "here")
    assert FaceEditor.load(folder, device="cpu").generator_hash
    assert list((tmp_path / "models").iterdir()) == [folder], "nothing else is left"
    with pytest.raises(LatentEditError, match="exists: give another folder"):
        hub.pull(NAME, folder)


def test_pull_from_the_command_line(
    tiny_bundle: Path,
    remote: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(tiny_bundle, remote / NAME)
    torch.save(writers.pggan_state("interfacegan", [8, 8]), remote / NAME / "pggan.pth")
    monkeypatch.chdir(tmp_path / "remote")
    for options, words in (([], "renders 16 x 16"), (["--file", "pggan.pth", "-o", "b"], "keys")):
        with pytest.raises(SystemExit) as stop:
            main(["models", "pull", NAME, *options])
        assert stop.value.code == 0
        assert words in capsys.readouterr().out
    assert FaceEditor.load("tiny", device="cpu").resolution == 16
    assert FaceEditor.load("b", device="cpu").resolution == 8
    with pytest.raises(SystemExit) as stop:
        main(["models", "pull", "someone/else"])
    assert stop.value.code == 2
    assert "cannot reach the Hugging Face Hub" in capsys.readouterr().err


def test_a_repository_without_a_bundle(remote: Path, tmp_path: Path) -> None:
    (remote / NAME).mkdir(parents=True)
    (remote / NAME / "README.md").write_text("a model")
    (remote / NAME / "pggan.pth").write_bytes(b"")
    with pytest.raises(LatentEditError, match=r"no bundle: name a checkpoint in it with --file"):
        hub.pull(NAME, tmp_path / "here")
    assert not (tmp_path / "here").exists()
    assert hub.download_file(NAME, "pggan.pth", revision=None).name == "pggan.pth"


def test_load_never_fetches(remote: Path, tiny_bundle: Path) -> None:
    shutil.copytree(tiny_bundle, remote / NAME)
    with pytest.raises(LatentEditError, match="no model"):
        FaceEditor.load(NAME)


def test_shipped_bundles_come_from_the_package(remote: Path) -> None:
    assert FaceEditor.from_pretrained("faces128", device="cpu").name == "faces128"


def test_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real library, told to stay offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LatentEditError, match=r"cannot reach .* folder with --model") as caught:
        FaceEditor.from_pretrained(NAME, cache_dir=tmp_path)
    assert f"https://huggingface.co/{NAME}/tree/main" in str(caught.value)
    with pytest.raises(LatentEditError, match=r"download a\.pth, and convert it"):
        hub.download_file(NAME, "a.pth", cache_dir=tmp_path)
    with pytest.raises(LatentEditError, match="write OWNER/NAME"):
        hub.download("a/b/c", cache_dir=tmp_path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("latentedit.pretrained.hub.importlib.import_module", missing)
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[hub\]'"):
        hub.download(NAME)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("RepositoryNotFoundError", "or it is private"),
        ("GatedRepoError", "or it is private"),
        ("RevisionNotFoundError", "no such revision"),
        ("RemoteEntryNotFoundError", "has no file a.pth"),
        ("HfHubHTTPError", "log in"),
    ],
)
def test_what_the_hub_says(monkeypatch: pytest.MonkeyPatch, error: str, words: str) -> None:
    kind = getattr(huggingface_hub.errors, error)

    def refuse(*_: Any, **__: Any) -> None:
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(LatentEditError, match=words):
        hub.download_file(NAME, "a.pth")


def test_what_no_bundle_can_hold(tiny_generator: Generator, tmp_path: Path) -> None:
    own = adapt(nn.Sequential(nn.Linear(8, 48), nn.Unflatten(1, (3, 4, 4))), 8)
    with pytest.raises(LatentEditError, match="export it to ONNX"):
        FaceEditor(own, device="cpu").save_pretrained(tmp_path / "a")
    own_age = FaceEditor(tiny_generator, age_estimator=lambda images: images, device="cpu")
    with pytest.raises(LatentEditError, match="leave it out"):
        own_age.save_pretrained(tmp_path / "b")


def test_a_model_made_of_parts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(resolution=8, latent_dim=16, fmap_base=16, fmap_max=8)
    editor = FaceEditor(Generator(config), device="cpu")
    editor.save_pretrained(tmp_path / "parts")
    again = FaceEditor.load(tmp_path / "parts", device="cpu")
    z = editor.sample([1])
    np.testing.assert_array_equal(again.render(z), editor.render(z))
