"""Folders of arrays that long computations fill; a stopped computation can go on later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path, make_folder, read_json, write_json
from latentedit.io.locks import claimed
from latentedit.io.sharing import making, turns

_SUFFIX = ".safetensors"
_LONGEST = 40
"""Longest value that a message repeats, in letters."""


class ResumableFolder:
    """A folder of files of arrays, with a card that says what all of them are made from.

    Whoever opens the folder again with the same card finds the finished arrays and makes only the
    missing ones. Every file is whole or absent. Several processes may fill one folder: each file is
    made by one of them.

    Attributes:
        path: the folder.
    """

    def __init__(
        self,
        path: str | Path,
        card_name: str,
        card: Mapping[str, Any],
        *,
        content: str,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the folder, or start it.

        Args:
            path: of the folder; made if it is missing.
            card_name: name of the card's file, such as ``pool.json``.
            card: plain data that JSON can hold; the same data means the same arrays.
            content: what the folder holds, for messages, such as ``pool``.
            before: entries that older cards lack, with the values that these cards mean.

        Raises:
            LatentEditError: the folder holds another card, or arrays without a card. Or its card
                is damaged, or the folder cannot be written.
        """
        self.path = make_folder(path)
        self._content = content
        self._waits = True
        card_path, wanted = self.path / card_name, json.loads(json.dumps(card))
        if not card_path.exists():
            self._start(card_path, wanted)
        found = read_json(card_path)
        if not isinstance(found, dict):
            raise self._refusal(f"{card_name} is damaged")
        found = {**(before or {}), **found}
        for key in (*wanted, *found):
            if key not in wanted or key not in found or found[key] != wanted[key]:
                raise self._refusal(_difference(key, found.get(key), wanted.get(key)))

    def _start(self, card_path: Path, card: Mapping[str, Any]) -> None:
        """Write the card, unless another process has just done so."""
        with claimed(card_path.with_name(f"{card_path.name}.new"), waits=True):
            if card_path.exists():
                return
            if any(self.path.glob(f"*{_SUFFIX}")):
                raise self._refusal(f"{card_path.name} is missing")
            write_json(card_path, card)

    def turns(self, count: int, make: Callable[[int], object]) -> Iterator[int]:
        """Share `count` pieces of work, which call `keep`, among processes; see `sharing.turns`."""

        def make_or_leave(number: int) -> None:
            self._waits = False
            try:
                make(number)
            finally:
                self._waits = True

        return turns(count, make_or_leave)

    def keep(
        self, name: str, make: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Return the arrays that are kept under a name; make and keep them if there are none.

        If another process is making them, this one waits for it. Within `turns` it does not wait:
        it raises `sharing.BusyError`, and `turns` comes back to them.

        Raises:
            LatentEditError: the file is damaged, or the folder cannot be written.
        """
        path = self.fill(name, make)
        try:
            return load_file(path)
        except SafetensorError:
            raise LatentEditError(f"{path} is damaged: delete it and run again") from None

    def fill(self, name: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Path:
        """Return the file that is kept under a name, unread; see `keep`."""
        path = self.file(name)
        if not path.is_file():
            with making(path, waits=self._waits):
                if not path.is_file():
                    save_arrays(path, make())
        return path

    def file(self, name: str) -> Path:
        """Return the file of a name, whether it exists or not."""
        return self.path / f"{name}{_SUFFIX}"

    def _refusal(self, why: str) -> LatentEditError:
        return LatentEditError(
            f"{self.path} holds another {self._content} ({why}): choose another folder"
        )


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a ``.safetensors`` file, whole or not at all.

    Raises:
        LatentEditError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def _difference(key: str, found: Any, wanted: Any) -> str:
    if max(len(repr(found)), len(repr(wanted))) > _LONGEST:
        return f"other {key}"
    return f"{key} {found!r}, not {wanted!r}"
