"""Folders that are filled bit by bit: what goes on, what is refused, what a stop leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentedit.errors import LatentEditError
from latentedit.io.folders import ResumableFolder

CARD = {"model": "tiny", "sizes": (1, 2), "names": ["Young"]}


def open_folder(path: Path, card: dict[str, Any] = CARD, **options: Any) -> ResumableFolder:
    return ResumableFolder(path, "card.json", card, content="pool", **options)


def test_arrays_are_made_once_and_found_again(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, np.ndarray[Any, Any]]:
        made.append(1)
        return {"z": np.arange(6, dtype=np.float32).reshape(2, 3).T}  # not contiguous

    for _ in range(2):
        kept = open_folder(tmp_path / "a" / "b").keep("first", make)
        np.testing.assert_array_equal(kept["z"], [[0, 3], [1, 4], [2, 5]])
    assert made == [1]
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert files == ["card.json", "first.safetensors"]


def test_a_stop_while_arrays_are_made_leaves_none(tmp_path: Path) -> None:
    def stop() -> dict[str, np.ndarray[Any, Any]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_folder(tmp_path).keep("first", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.parametrize(
    ("card", "named"),
    [
        ({**CARD, "model": "other"}, "model 'tiny', not 'other'"),
        ({**CARD, "names": ["Young", "Male"]}, "names"),
        ({**CARD, "sizes": list(range(40))}, "other sizes"),
        ({**CARD, "space": "w"}, "space None, not 'w'"),
        ({"model": "tiny", "names": ["Young"]}, "sizes"),
    ],
)
def test_another_card_is_refused_by_what_differs(
    tmp_path: Path, card: dict[str, Any], named: str
) -> None:
    open_folder(tmp_path)
    before = (tmp_path / "card.json").read_bytes()
    with pytest.raises(LatentEditError, match="another pool") as caught:
        open_folder(tmp_path, card)
    assert named in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 150
    assert (tmp_path / "card.json").read_bytes() == before


def test_an_entry_that_older_cards_lack_has_its_old_value(tmp_path: Path) -> None:
    open_folder(tmp_path)
    open_folder(tmp_path, {**CARD, "space": "z"}, before={"space": "z"})
    with pytest.raises(LatentEditError, match="space 'z', not 'w'"):
        open_folder(tmp_path, {**CARD, "space": "w"}, before={"space": "z"})


@pytest.mark.parametrize(("text", "named"), [("[]", "damaged"), ("{", "not valid JSON")])
def test_a_damaged_card_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(LatentEditError, match=named) as caught:
        open_folder(tmp_path)
    assert "card.json" in str(caught.value)


def test_arrays_without_a_card_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "faces.safetensors").touch()
    with pytest.raises(LatentEditError, match=r"card\.json is missing.*another folder"):
        open_folder(tmp_path)
    assert not (tmp_path / "card.json").exists()


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    (folder := open_folder(tmp_path)).keep("first", lambda: {"z": np.zeros(3)})
    (tmp_path / "first.safetensors").write_bytes(b"no")
    with pytest.raises(LatentEditError, match=r"first\.safetensors is damaged: delete it"):
        folder.keep("first", dict)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LatentEditError, match="cannot create folder"):
        open_folder(tmp_path / "file")
