"""Where pulled models are kept, and which of them this version can use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from latentedit.errors import LatentEditError
from latentedit.pretrained import cache


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("LATENTEDIT_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {}, "me/.cache/latentedit"),
        ("linux", {"XDG_CACHE_HOME": "{}/xdg"}, "xdg/latentedit"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "me/.cache/latentedit"),
        ("linux", {"XDG_CACHE_HOME": ""}, "me/.cache/latentedit"),
        ("linux", {"XDG_CACHE_HOME": "{}/xdg", "LATENTEDIT_HOME": "{}/own"}, "own"),
        ("linux", {"LATENTEDIT_HOME": ""}, "me/.cache/latentedit"),
        ("darwin", {"XDG_CACHE_HOME": "{}/xdg"}, "me/Library/Caches/latentedit"),
        ("win32", {"LOCALAPPDATA": "{}/local"}, "local/latentedit"),
        ("win32", {}, "me/AppData/Local/latentedit"),
    ],
)
def test_home(
    platform: str,
    variables: dict[str, str],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert cache.home() == tmp_path / folder
    assert cache.model_folder("a") == tmp_path / folder / "models" / "a"


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTEDIT_HOME", "here")
    assert cache.home() == tmp_path / "here"


def test_nobody_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(LatentEditError, match="set LATENTEDIT_HOME"):
        cache.home()
    assert cache.pulled("ffhq1024") is None


@pytest.mark.parametrize("card", ["", "[]", "{", '{"weights_hash": "of another version"}'])
def test_a_card_that_does_not_fit(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTEDIT_HOME", str(tmp_path))
    folder = cache.model_folder("ffhq1024")
    folder.mkdir(parents=True)
    (folder / "generator.safetensors").touch()
    (folder / "generator.json").write_text(card)
    assert cache.pulled("ffhq1024") is None
    (folder / "generator.json").write_text(
        f'{{"weights_hash": "{cache.SOURCES["ffhq1024"].weights_hash}"}}'
    )
    assert cache.pulled("ffhq1024") == folder
    (folder / "generator.safetensors").unlink()
    assert cache.pulled("ffhq1024") is None


def test_pins() -> None:
    source = cache.SOURCES["ffhq1024"]
    assert source.wheel == "random_face-2021.7.21.1-py3-none-any.whl"
    assert source.requirement == "random-face==2021.7.21.1"
    assert all(len(value) == 64 for value in (source.sha256, *source.files.values()))
    assert "non-commercial" in str(source.card["terms"])
    for licence in ("Apache-2.0", "Nvidia Source Code License", "CC BY-NC-SA 4.0"):
        assert licence in str(source.card["licences"])


def test_looking_needs_no_torch() -> None:
    code = (
        "import sys; from latentedit.pretrained.cache import pulled; pulled('ffhq1024'); "
        "import latentedit.checkpoints.pull; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
