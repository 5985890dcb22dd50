"""The models that visitors choose from; each gets a studio when it is first chosen. No Gradio."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from latentedit.demo.studio import Studio
from latentedit.editing.editor import FaceEditor
from latentedit.editing.photos import PhotoEditor
from latentedit.errors import LatentEditError
from latentedit.generators.registry import card_resolution
from latentedit.portrait.assessor import PortraitAssessor
from latentedit.pretrained.bundles import bundle_names
from latentedit.pretrained.cache import SOURCES, pulled
from latentedit.pretrained.model import ENCODER, Bundle


@dataclass(frozen=True)
class Choice:
    """A model, as the page lists it.

    Attributes:
        name: the name that recipes use.
        edge: edge of its pictures in pixels, or None if not known.
        takes_photos: whether it can edit photos.
        generator_hash: the hash in recipes that it can read, or None if not known.
        command: the command that pulls it, or "" if it is here.
        megabytes: how much the command downloads, or None if it is here.
    """

    name: str
    edge: int | None
    takes_photos: bool
    generator_hash: str | None
    command: str = ""
    megabytes: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether the model can be used at once."""
        return not self.command


def known_choices() -> list[Choice]:
    """Return the models of `latentedit models list` that have sliders, then those to pull.

    No weights are loaded. The cards are read each time, so that a model just pulled is found.
    """
    choices = []
    for name in bundle_names():
        try:
            bundle = Bundle.find(name)
        except LatentEditError as error:
            logging.getLogger(__name__).warning("%s is not offered: %s", name, error)
            continue
        if {"boundaries", "classifier"} <= bundle.homes.keys():
            card = bundle.cards.get("generator", {})
            edge, takes_photos = card_resolution(card), ENCODER in bundle.homes
            choices.append(Choice(name, edge, takes_photos, card.get("weights_hash")))
    missing = (name for name in SOURCES if not pulled(name))
    return choices + [_to_pull(name) for name in missing]


def _to_pull(name: str) -> Choice:
    source = SOURCES[name]
    takes_photos = name in bundle_names(ENCODER)  # all its parts but the generator ship
    command = f"latentedit models pull {name}"
    megabytes = round(source.size / 1e6)
    return Choice(name, None, takes_photos, source.weights_hash, command, megabytes)


def open_studio(editor: FaceEditor, assessor: PortraitAssessor | None = None) -> Studio:
    """Return the studio of a model; it takes photos if the model does.

    Raises:
        LatentEditError: the model has no classifier or no boundaries.
    """
    try:
        encoder = editor.bundle.encoder() if editor.bundle is not None else None
        photos = PhotoEditor(editor, encoder)
    except LatentEditError:
        return Studio(editor, assessor=assessor)
    return Studio(photos.editor, photos, assessor)  # so sliders go as far as photos can


class Studios:
    """A studio for each model that was chosen; studios stay loaded. Threads may use it.

    Args:
        first: the studio of the model that the page starts with.
        known: lists further models; one with the name of the first is not offered.
        load: opens one of them by its name, or None if there are none.

    Attributes:
        first: see above.
        rehearsals: rehearsals of the opened studios, see `Studio.rehearse`. Whoever does one
            removes it.
    """

    def __init__(
        self,
        first: Studio,
        known: Callable[[], list[Choice]] = list,
        load: Callable[[str], Studio] | None = None,
    ) -> None:
        self.first = first
        self.rehearsals: deque[Iterator[None]] = deque([first.rehearse()])
        self._known = known
        self._load = load
        self._open = {first.editor.name: first}
        self._loading = threading.Lock()

    @classmethod
    def beside(cls, first: Studio) -> Studios:
        """Return studios of one model and of all that ship or were pulled, for the same device."""

        def load(name: str) -> Studio:
            device = str(first.editor.device)
            return open_studio(FaceEditor.load(name, device=device), first.assessor)

        return cls(first, known_choices, load)

    def __getitem__(self, name: str) -> Studio:
        """Return the studio of a model that is loaded."""
        return self._open[name]

    def choices(self) -> list[Choice]:
        """Return all models; the one that the page starts with comes first."""
        editor = self.first.editor
        own = Choice(
            editor.name, editor.resolution, self.first.photos is not None, editor.generator_hash
        )
        return [own, *(each for each in self._known() if each.name != own.name)]

    def is_open(self, name: str) -> bool:
        """Return whether a model is loaded."""
        return name in self._open

    def open(self, name: str) -> Studio:
        """Return the studio of a model, and load it if needed; only one is loaded at a time.

        Raises:
            LatentEditError: the model is not here, or it is damaged.
        """
        with self._loading:
            if name not in self._open:
                choice = next((each for each in self.choices() if each.name == name), None)
                if choice is None or self._load is None:
                    raise LatentEditError("this page has no such model: reload it")
                if not choice.is_here:
                    raise LatentEditError(f"{name} is not here yet: get it with '{choice.command}'")
                studio = self._load(name)
                self._open[name] = studio
                self.rehearsals.append(studio.rehearse())
            return self._open[name]

    def maker(self, generator_hash: object) -> str | None:
        """Return the name of the model whose generator has this hash, or None."""
        makers = (each for each in self.choices() if each.generator_hash == generator_hash)
        return next((each.name for each in makers), None)

    def for_photos(self) -> str | None:
        """Return the name of a model here that takes photos, or None."""
        takers = (each for each in self.choices() if each.is_here and each.takes_photos)
        return next((each.name for each in takers), None)
