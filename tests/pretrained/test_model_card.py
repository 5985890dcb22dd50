"""The card of a published model: what the Hub reads of it, and what people do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Run

from latentedit.editing.editor import FaceEditor
from latentedit.io.files import read_json, write_json
from latentedit.io.images import open_image
from latentedit.pretrained.bundles import TERMS, find_bundle
from latentedit.pretrained.model_card import PICTURE, model_card

NAME = "someone/tiny"


def metadata(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def test_what_the_hub_reads(tiny_bundle: Path) -> None:
    found = metadata(model_card(tiny_bundle, NAME))
    assert found["library_name"] == "latentedit"
    assert found["pipeline_tag"] == "unconditional-image-generation"
    assert (found["license"], found["license_name"]) == ("other", "non-commercial-research")
    assert found["license_link"] == f"https://huggingface.co/{NAME}#terms"
    assert {"gan", "face-editing"} <= set(found["tags"])
    assert "thumbnail" not in found


def test_terms_that_nobody_states(tiny_bundle: Path) -> None:
    for path in tiny_bundle.glob("*.json"):
        write_json(path, {key: value for key, value in read_json(path).items() if key != "terms"})
    card = model_card(tiny_bundle, NAME)
    assert metadata(card)["license_name"] == "see-terms"
    assert "## Terms" in card


def test_a_shipped_model_tells_its_figures_and_terms() -> None:
    folder = find_bundle("faces128")
    card = model_card(folder, "someone/faces128")
    figures = card.partition("## Figures")[2].partition("## Terms")[0]
    generator, age = (
        read_json(folder / f"{part}.json")["figures"] for part in ("generator", "age")
    )
    for value in (generator["spaces"]["dlib"]["frechet"]["samples"], age["mae"]):
        assert f"| {value:.3g} |" in figures
    assert "40 boundaries" in figures
    assert TERMS in card


def test_the_example_of_the_card_runs(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = model_card(tiny_bundle, NAME).partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 5
    monkeypatch.setattr(
        FaceEditor,
        "from_pretrained",
        classmethod(lambda cls, name, **options: cls.load(tiny_bundle, device="cpu")),
    )
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["faces"].shape == names["older"].shape == (4, 16, 16, 3)


def test_push_writes_what_it_would_push(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    result = run("models", "push", NAME, "--model", tiny_bundle, "-o", folder)
    assert (result.code, result.err) == (0, "")
    card = (folder / "README.md").read_text()
    assert metadata(card)["thumbnail"] == PICTURE
    assert f"]({PICTURE})" in card
    assert open_image(folder / PICTURE).shape[1] > open_image(folder / PICTURE).shape[0]
    assert run("models", "check", folder).code == 0
    assert run("models", "push", NAME, "--model", tiny_bundle, "-o", folder).code == 2, "exists"


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "/tiny", "someone/"])
def test_push_needs_an_owner_and_a_name(run: Run, name: str) -> None:
    result = run("models", "push", name)
    assert result.code == 2
    assert "OWNER/NAME" in result.err


@pytest.mark.parametrize(("options", "private"), [((), True), (("--public",), False)])
def test_push_sends_the_bundle_with_its_picture(
    run: Run,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    private: bool,
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    calls: dict[str, Any] = {}

    class Api:
        def __init__(self, token: Any = None) -> None:
            pass

        def create_repo(self, name: str, **given: Any) -> None:
            calls.update(name=name, **given)

        def upload_folder(self, *, folder_path: str, allow_patterns: list[str], **_: Any) -> Any:
            target = tmp_path / "hub"
            target.mkdir()
            for pattern in allow_patterns:
                for path in Path(folder_path).glob(pattern):
                    shutil.copy(path, target)
            return type("Commit", (), {"commit_url": "hub/commit/1"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    result = run("models", "push", NAME, "--model", tiny_bundle, *options)
    assert (result.code, result.out.strip()) == (0, "hub/commit/1")
    assert (calls["name"], calls["private"]) == (NAME, private)
    sent = {path.name for path in (tmp_path / "hub").iterdir()}
    assert sent >= {"README.md", PICTURE, "generator.safetensors", "boundaries.json"}
