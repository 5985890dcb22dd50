"""The models that a page offers: which are listed, and that each is loaded once, when asked for."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from photo_models import write_bundle

from latentedit.demo.models import Choice, Studios, known_choices
from latentedit.errors import LatentEditError
from latentedit.pretrained import bundles
from latentedit.pretrained.cache import SOURCES
from latentedit.pretrained.model import Bundle


def studio(name: str, *, photos: bool = False) -> Any:
    """A studio without networks."""
    editor = SimpleNamespace(name=name, resolution=16, generator_hash=f"hash of {name}")
    return SimpleNamespace(editor=editor, photos=photos or None, rehearse=lambda: iter([name]))


OTHER = Choice("other", 64, True, "hash of other")
FAR = Choice("far", None, True, "hash of far", "get far", 5)


def test_bundles_with_sliders_are_listed_and_what_can_be_pulled(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shipped = tmp_path / "shipped"
    for name in ("seeds", "bare", "broken"):
        shutil.copytree(tiny_bundle, shipped / name)
    write_bundle(shipped / "shots")
    for file in (shipped / "bare").glob("boundaries.*"):
        file.unlink()
    (shipped / "broken" / "age.json").write_text("{")
    monkeypatch.setattr(bundles, "_ROOTS", (shipped,))
    seeds, shots, missing = known_choices()
    own = Bundle.find("seeds").cards["generator"]["weights_hash"]
    assert seeds == Choice("seeds", 16, takes_photos=False, generator_hash=own)
    assert (shots.name, shots.takes_photos, shots.is_here) == ("shots", True, True)
    assert missing.name in SOURCES
    assert not missing.is_here
    assert "broken is not offered" in caplog.text


def test_the_first_model_hides_others_of_its_name() -> None:
    studios = Studios(studio("other"), lambda: [OTHER, FAR])
    assert [each.name for each in studios.choices()] == ["other", "far"]
    assert studios.choices()[0].edge == 16
    assert studios.for_photos() is None  # it takes none, and the far one is not here
    assert Studios(studio("first"), lambda: [FAR, OTHER]).for_photos() == "other"


def test_who_made_a_recipe() -> None:
    studios = Studios(studio("first"), lambda: [OTHER, FAR])
    made = [studios.maker(f"hash of {name}") for name in ("first", "other", "far", "nobody")]
    assert made == ["first", "other", "far", None]


def test_two_who_ask_at_once_load_once() -> None:
    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        time.sleep(0.05)
        return studio(name)

    studios = Studios(studio("first"), lambda: [OTHER], load)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(studios.open("other"))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == ["other"]
    assert found == [studios["other"]] * 2
    assert studios.is_open("other")
    assert [next(each) for each in studios.rehearsals] == ["first", "other"]  # type: ignore[comparison-overlap]


def test_what_is_not_here_or_does_not_load_is_said_and_can_be_asked_for_again() -> None:
    faults = [LatentEditError("damaged")]

    def load(name: str) -> Any:
        if faults:
            raise faults.pop()
        return studio(name)

    studios = Studios(studio("first"), lambda: [OTHER, FAR], load)
    with pytest.raises(LatentEditError, match="get far"):
        studios.open("far")
    with pytest.raises(LatentEditError, match="no such model"):
        studios.open("../first")
    with pytest.raises(LatentEditError, match="damaged"):
        studios.open("other")
    assert not studios.is_open("other")
    assert studios.open("other").editor.name == "other"
