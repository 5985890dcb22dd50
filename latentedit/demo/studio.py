"""Answers to the page: each request is a plain function of a session. No Gradio."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.demo.controls import WORDS, make_controls
from latentedit.demo.recipes import MAX_UPLOAD_BYTES, latent_of, recipe_of, view_of
from latentedit.demo.session import Session, View, checked_steps, moved, with_seed
from latentedit.demo.story import Change, find_changes, find_fights, tell
from latentedit.demo.takeaways import film, take
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED
from latentedit.io.html import png_uri
from latentedit.io.images import UInt8Array, png_bytes

SHOWN_EDGE = 512
"""Most pixels along an edge of what the page shows; what is taken home is whole."""

GALLERY = 12
"""Faces to pick from at a time: the sharpest of twice as many seeds."""

DICE = 100_000
"""The dice shows a seed below this."""

Reply = dict[str, Any]
"""What the page is told, ready for JSON."""


@dataclass(frozen=True, eq=False)
class ScoredFace:
    """One picture and what the networks see in it.

    Attributes:
        picture: as a data URI.
        scores: probabilities by attribute.
        age: estimated years, or None where the model does not estimate.
    """

    picture: str
    scores: Mapping[str, float]
    age: float | None


@dataclass(frozen=True)
class ComparedEdit:
    """An edit made with some holds, for comparison.

    Attributes:
        title: what is held.
        picture: the result, as a data URI.
        changes: see `story.find_changes`.
        years: estimated age before and after, or None where the model does not estimate.
        leakage: mean absolute change of the probabilities of all other attributes.
    """

    title: str
    picture: str
    changes: list[Change]
    years: tuple[float, float] | None
    leakage: float


class Studio:
    """Answers the page's requests for one model.

    It keeps nothing of its users: a session goes in and comes out of each request. What it
    remembers are faces of seeds, which are the same for everyone.

    Args:
        editor: with classifier and boundaries; with an age estimator the page shows ages too.

    Raises:
        LatentEditError: a model without classifier or boundaries.
    """

    def __init__(self, editor: FaceEditor) -> None:
        self.editor = editor
        self.controls = make_controls(editor.boundaries)
        self._acts = {
            "start": self._start,
            "move": self._move,
            "face": self._pick,
            "undo": lambda session, _: self._turn(session.undo()),
            "redo": lambda session, _: self._turn(session.redo()),
            "reset": lambda session, _: self._turn(session.push(View(session.view.seed))),
            "open": self._open,
            "film": self._film,
            "take": self._take,
            "gallery": self._turn_gallery,
        }
        self._original = lru_cache(maxsize=64)(lambda seed: self._face(editor.sample([seed])))
        self._gallery = lru_cache(maxsize=16)(self._make_gallery)
        self._original(defaults.SEED)  # nobody waits for it; and a classifier is needed

    def new_session(self) -> Session:
        """The session of somebody who just came."""
        return Session((View(defaults.SEED),))

    def act(self, session: Session, request: Any) -> tuple[Session, Reply]:
        """Answer one request of the page; a request that is wrong in any way changes nothing.

        Args:
            session: before the request.
            request: ``do`` names the act, the other entries belong to it.

        Returns:
            The session afterwards, and the reply. Where the request cannot be met these are the
            same session, and a reply whose ``message`` says why.
        """
        name = request.get("do") if isinstance(request, dict) else None
        act = self._acts.get(name) if isinstance(name, str) else None
        try:
            if act is None:
                raise LatentEditError("the page sent something unreadable: reload it")
            return act(session, request)
        except LatentEditError as error:
            return session, {**self._controls(session), "message": self._plain(str(error))}

    def compare(self, seed: int, attribute: Any, step: Any) -> tuple[str, list[ComparedEdit]]:
        """Move one attribute by the same step, holding nothing and with auto holds.

        Returns:
            The original's data URI, and the two edits.

        Raises:
            LatentEditError: no such attribute, or a step that is far out of range.
        """
        steps = checked_steps({attribute: step}, self.controls)
        original = self._original(seed)
        edits = []
        for title, auto in (("No locks", False), ("Automatic locks", True)):
            view = View(seed, steps=steps, auto=auto)
            face = self._edited(view)
            changes = find_changes(self.controls, original.scores, face.scores, steps)
            leakage = [
                abs(face.scores[name] - original.scores[name])
                for name in original.scores.keys() - steps.keys()
            ]
            years = _years(original, face)
            edits.append(ComparedEdit(title, face.picture, changes, years, float(np.mean(leakage))))
        return original.picture, edits

    # ---- acts

    def _start(self, session: Session, _: Mapping[str, Any]) -> tuple[Session, Reply]:
        return session, {
            **self._turn(session)[1],
            "model": self.editor.name,
            "groups": self._groups(),
            "words": [(limit, words) for limit, words in WORDS if np.isfinite(limit)],
            "likeliest": WORDS[-1][1],
            "gallery": self._gallery(0),
            "max_upload": MAX_UPLOAD_BYTES,
        }

    def _move(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        view = moved(session.view, request, self.controls)
        shown = self._shown(view)
        if request.get("preview") is True:  # the slider still moves: shown, but no move to undo
            return session, shown
        session = session.push(view)
        return session, {**shown, "undo": session.can_undo, "redo": session.can_redo}

    def _pick(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        seed = secrets.randbelow(DICE) if request.get("dice") is True else request.get("seed")
        view = with_seed(session.view, seed, keep=request.get("keep") is True)
        return self._turn(session.push(view))

    def _open(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        view = view_of(self.editor, self.controls, _decoded(request.get("data")))
        session, reply = self._turn(session.push(view))
        return session, {
            **reply,
            "message": "Opened: face, sliders and locks are back.",
        }

    def _turn(self, session: Session) -> tuple[Session, Reply]:
        return session, {**self._shown(session.view), **self._controls(session)}

    def _film(self, session: Session, _: Mapping[str, Any]) -> tuple[Session, Reply]:
        return session, {"film": [_data_uri(frame) for frame in film(self.editor, session.view)]}

    def _take(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        file = take(self.editor, session.view, str(request.get("what")))
        data = base64.b64encode(file.content).decode("ascii")
        return session, {"file": {"name": file.name, "type": file.type, "data": data}}

    def _turn_gallery(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        page = request.get("page")
        if type(page) is not int or not 0 <= page < MAX_SEED // (2 * GALLERY):
            raise LatentEditError("there are no more faces there")
        return session, {"gallery": self._gallery(page)}

    # ---- what replies are made of

    def _shown(self, view: View) -> Reply:
        """Pictures, and what to say about them."""
        original, edited = self._original(view.seed), self._edited(view)
        years = _years(original, edited)
        reply: Reply = {"original": original.picture, "edited": edited.picture, "years": years}
        if not view.steps:
            return {**reply, "changes": [], "told": "", "fights": [], "held": []}
        recipe = recipe_of(self.editor, view)
        changes = find_changes(self.controls, original.scores, edited.scores, view.steps)
        return {
            **reply,
            "changes": [asdict(change) for change in changes],
            "told": tell(changes, years),
            "fights": find_fights(self.editor.boundaries, self.controls, view, recipe),
            "held": [name for name in _strictest(recipe.holds) if name not in view.held],
        }

    def _controls(self, session: Session) -> Reply:
        """Where the page's sliders, holds (its locks) and buttons stand."""
        view = session.view
        return {
            "view": {
                "seed": view.seed,
                "steps": dict(view.steps),
                "auto": view.auto,
                "locks": list(view.held),
                "strictness": view.strictness,
                "given": view.given is not None,
            },
            "undo": session.can_undo,
            "redo": session.can_redo,
        }

    def _groups(self) -> list[Reply]:
        groups: dict[str, list[Reply]] = {}
        for name, control in self.controls.items():
            calibration = self.editor.boundaries.calibration(name)
            knots = calibration.as_dict() if calibration else None
            groups.setdefault(control.group, []).append({**asdict(control), "calibration": knots})
        return [{"title": title, "controls": controls} for title, controls in groups.items()]

    def _edited(self, view: View) -> ScoredFace:
        if not view.steps:
            return self._original(view.seed)
        return self._face(latent_of(self.editor, view))

    def _face(self, z: NDArray[np.float32]) -> ScoredFace:
        """Render and look at one latent [1, D]."""
        images = self.editor.render(z, min(SHOWN_EDGE, self.editor.resolution))
        scores = dict(
            zip(self.editor.attributes, self.editor.score(images)[0].tolist(), strict=True)
        )
        age = float(self.editor.age(images)[0]) if self.editor.estimates_age else None
        return ScoredFace(_data_uri(images[0]), scores, age)

    def _make_gallery(self, page: int) -> Reply:
        """The sharpest faces of some seeds; on the first page the face that users start with."""
        seeds = list(range(2 * GALLERY * page, 2 * GALLERY * (page + 1)))
        images = self.editor.render(self.editor.sample(seeds), self.editor.judged_size)
        order = np.arange(len(seeds))
        if "Blurry" in self.editor.attributes:
            blur = self.editor.score(images)[:, self.editor.attributes.index("Blurry")]
            order = np.argsort(blur, kind="stable")
        chosen = sorted(order[:GALLERY].tolist())
        pictures = {seeds[row]: _data_uri(images[row]) for row in chosen}
        if page == 0 and defaults.SEED not in pictures:
            pictures.popitem()
            pictures[defaults.SEED] = self._original(defaults.SEED).picture
        faces = [{"seed": seed, "picture": picture} for seed, picture in pictures.items()]
        return {"page": page, "faces": faces}

    def _plain(self, text: str) -> str:
        """The same message with attributes called as the sliders are."""
        names = sorted(self.controls, key=len, reverse=True)
        pattern = rf"(?<![A-Za-z_])({'|'.join(map(re.escape, names))})(?![A-Za-z_])"
        text = re.sub(pattern, lambda found: f"“{self.controls[found[1]].label}”", text)
        return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _years(original: ScoredFace, edited: ScoredFace) -> tuple[float, float] | None:
    if original.age is None or edited.age is None:
        return None
    return original.age, edited.age


def _strictest(holds: Mapping[str, Mapping[str, float]]) -> list[str]:
    """All that is held by any move, the strictest first."""
    discounts: dict[str, float] = {}
    for held in holds.values():
        for name, discount in held.items():
            discounts[name] = max(discount, discounts.get(name, 0))
    return sorted(discounts, key=lambda name: -discounts[name])


def _data_uri(image: UInt8Array) -> str:
    return png_uri(png_bytes(image))


def _decoded(data: Any) -> bytes:
    if not isinstance(data, str) or len(data) > 4 * MAX_UPLOAD_BYTES // 3 + 4:
        raise LatentEditError(f"open a file of at most {MAX_UPLOAD_BYTES // 1_000_000} MB")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise LatentEditError("the file did not arrive whole: open it again") from None
