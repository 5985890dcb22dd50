"""Base classes of outputs: the edit, the file that is asked for, and the kind of file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from latentedit.editing.editor import FaceEditor
from latentedit.io.images import UInt8Array
from latentedit.photos.marks import Marks
from latentedit.photos.photograph import save_marked


@dataclass(frozen=True)
class Asked:
    """The file that an edit is to be written to, and how.

    Attributes:
        path: the file; its ending says what goes into it.
        frames: number of frames of a strip or a film, or None where nobody gave one.
        alone: write the edited faces alone, not the strip or the whole photo.
        photo: whether a photo is edited, and not faces that a model draws.
        force: write over the photo itself, too.
    """

    path: Path
    frames: int | None = None
    alone: bool = False
    photo: bool = False
    force: bool = False

    @property
    def ending(self) -> str:
        """The file's ending with its dot, in small letters."""
        return self.path.suffix.lower()

    @property
    def whole_photo(self) -> bool:
        """Whether the whole photo is written, changed only by the edit."""
        return self.photo and not self.alone and self.frames is None


class Edited(ABC):
    """An edit that was worked out. Nothing is drawn before an output asks for it.

    Attributes:
        source_type: IPTC's digital source type of its pictures.
    """

    source_type: ClassVar[str]

    @property
    @abstractmethod
    def recipe(self) -> Mapping[str, Any]:
        """How to make it again, as JSON values."""

    @property
    def icc(self) -> bytes | None:
        """The colour profile of its pictures; None is sRGB."""
        return None

    @abstractmethod
    def picture(self, asked: Asked) -> UInt8Array:
        """The strip or the photo, where the faces alone are not asked for: uint8 [H, W, 3]."""

    @abstractmethod
    def faces(self) -> UInt8Array:
        """The edited faces alone, uint8 [N, S, S, 3]."""

    @abstractmethod
    def film(self, edge: int, *, alone: bool) -> UInt8Array:
        """The way from before to after, uint8 [F, H, W, 3], its longer edge `edge` or less."""

    @abstractmethod
    def latents(self) -> NDArray[np.float32]:
        """The edited latents, [N, D] or [N, L, D]."""

    @property
    @abstractmethod
    def origin(self) -> Mapping[str, Any]:
        """What the latents belong to: model, generator_hash, space."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The recipe and, for each face, what is seen in it before and after."""

    @property
    def marks(self) -> Marks:
        """What its pictures say about themselves: the recipe and the source type."""
        return Marks(json.dumps(self.recipe), self.source_type)

    def save_picture(self, asked: Asked) -> list[str]:
        """Write `picture` to a file.

        Returns:
            What the user should know.
        """
        save_marked(asked.path, self.picture(asked), self.marks, icc=self.icc)
        return []


def latents_origin(editor: FaceEditor) -> dict[str, Any]:
    """Return what a file of latents says about their model."""
    return {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "space": editor.space,
    }


@dataclass(frozen=True)
class Output:
    """A kind of file that an edit is written to.

    Attributes:
        name: plural, for messages.
        endings: of such files.
        check: takes what is asked, and refuses early what cannot be written.
        save: writes the file; returns what the user should know.
        moves: whether it shows the way from before to after, as a film does.
    """

    name: str
    endings: tuple[str, ...]
    check: Callable[[Asked], None]
    save: Callable[[Edited, Asked], list[str]]
    moves: bool = False
