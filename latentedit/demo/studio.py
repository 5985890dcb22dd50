"""Answers to the page: a request and a session give a reply and a new session. No Gradio."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from latentedit.demo.controls import WORDS, make_controls
from latentedit.demo.limits import share_left
from latentedit.demo.recipes import (
    asked_recipe,
    carried,
    faces_of,
    recipe_of,
    view_of,
    view_of_photo,
)
from latentedit.demo.replies import Picture, Reply, picture_of
from latentedit.demo.session import Session, View, checked_steps, moved, with_seed
from latentedit.demo.sitters import (
    Upload,
    outlines,
    place_of,
    read_photo_edit,
    read_upload,
    seat,
)
from latentedit.demo.story import Change, find_changes, find_fights, find_slips, tell
from latentedit.demo.takeaways import FILM_FRAMES, Shown, Turn, frame
from latentedit.demo.viewer import GALLERY, ScoredFace, Viewer
from latentedit.editing.editor import FaceEditor
from latentedit.editing.photos import PhotoEditor
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED
from latentedit.portrait.assessor import PortraitAssessor

DICE = 100_000
"""The dice picks a seed below this number."""

REHEARSED = 4
"""Slices of `Sitter.working` that a rehearsal does: the warnings, and both halves of a step."""


@dataclass(frozen=True)
class ComparedEdit:
    """An edit made with some holds, for comparison.

    Attributes:
        title: what is held.
        picture: the result.
        changes: what changed, see `story.find_changes`.
        years: estimated age before and after, or None if the model has no age estimator.
        leakage: mean absolute change of the probabilities of all other attributes.
    """

    title: str
    picture: Picture
    changes: list[Change]
    years: tuple[float, float] | None
    leakage: float


class Studio:
    """Answers the page's requests for one model.

    It keeps no data of users: each request takes a session and returns one.

    Args:
        editor: the model, with classifier and boundaries; with an age estimator the page shows
            ages too.
        photos: the same model for photos, or None if it takes no photos.
        assessor: judges photos for warnings, or None.

    Raises:
        LatentEditError: the model has no classifier or no boundaries.
    """

    def __init__(
        self,
        editor: FaceEditor,
        photos: PhotoEditor | None = None,
        assessor: PortraitAssessor | None = None,
    ) -> None:
        self.editor = editor
        self.photos = photos
        self.assessor = assessor
        self.controls = make_controls(editor.boundaries)
        self.viewer = Viewer(editor, photos, self.controls)
        self._acts = {
            "start": self._start,
            "move": self._move,
            "face": self._pick,
            "sitter": self._seat,
            "undo": lambda session, request: self._turn(session.undo(), request),
            "redo": lambda session, request: self._turn(session.redo(), request),
            "reset": self._reset,
            "frame": self._frame,
            "look": self._look,
            "learn": self._learn,
            "gallery": self._turn_gallery,
        }
        # drawn now so that nobody waits; fails without a classifier
        self.viewer.original(self.first)
        self.viewer.gallery(0)

    @property
    def first(self) -> int:
        """Seed of the first face."""
        return self.viewer.first

    def new_session(self) -> Session:
        """Return the session of a new visitor."""
        return Session((View(self.first),))

    def act(self, session: Session, request: Any) -> tuple[Session, Reply]:
        """Answer one request of the page; a request that is wrong in any way changes nothing.

        Args:
            session: before the request.
            request: ``do`` names the act, and the other entries belong to it. ``has`` is the key
                of the original's picture that the page has already.

        Returns:
            The session afterwards, and the reply. If the request cannot be met, these are the same
            session and a reply whose ``message`` says why.
        """
        name = request.get("do") if isinstance(request, dict) else None
        act = self._acts.get(name) if isinstance(name, str) else None
        try:
            if act is None:
                raise LatentEditError("the page sent something unreadable: reload it")
            return act(session, request)
        except LatentEditError as error:
            return session, {**self._controls(session), "message": self.plain(str(error))}

    def rehearse(self) -> Iterator[None]:
        """Do once the work that a photo needs, slice by slice, so that all networks are loaded.

        Otherwise the first visitor with a photo would wait for that.
        """
        if self.photos is None:
            return
        with suppress(LatentEditError):  # the detector may find no face in the first picture
            upload = read_upload("", self.viewer.original(self.first).picture.content)
            yield
            sitter = seat(self.photos, self.assessor, upload, upload.faces[0].number)
            for _ in range(REHEARSED):
                yield
                next(sitter.working, None)

    # ---- files that visitors bring

    def want_photo(self, session: Session, data: bytes) -> tuple[Session, Reply]:
        """Ask for the photo that an edit was made of, if a file carries such an edit.

        Returns:
            The session, which then waits for the photo, and a message. If the file carries no such
            edit: the same session and an empty reply. The same also if the session waits already
            because of this file; then the file itself is to be opened as a photo.

        Raises:
            LatentEditError: the edit is damaged.
        """
        values = carried(data)
        if not isinstance(values, dict) or not values.get("edits"):  # or an unedited photo
            return session, {}
        if session.wanted is not None and session.wanted.came_in(data):
            return session, {}
        wanted = read_photo_edit(values, data)
        which = "the photo it was made of" + (f", {wanted.photo}" if wanted.photo else "")
        return replace(session, wanted=wanted), {
            "message": f"This is an edited photo. To go on with it, add {which}; "
            "or add this picture once more to edit it as it is.",
            "wants": True,
        }

    def is_ours(self, data: bytes) -> bool:
        """Return whether a file carries the recipe of a generated face, or is JSON."""
        values = carried(data)
        return data.lstrip()[:1] == b"{" or (values is not None and "edits" not in values)

    def open(self, session: Session, data: bytes) -> tuple[Session, Reply]:
        """Open a saved picture or recipe of a generated face.

        Raises:
            LatentEditError: see `view_of`.
        """
        view = view_of(self.editor, self.controls, data)
        session, reply = self._turn(replace(session.push(view), wanted=None), {})
        count = faces_of(carried(data))
        message = "Opened: face, sliders and locks are back."
        if count > 1:
            message = f"Opened the first of its {count} faces, with its sliders and locks."
        return session, {**reply, "message": message}

    def receive(self, session: Session, upload: Upload) -> tuple[Session, Reply]:
        """Go on to a photo; if it has several faces, ask which one.

        Raises:
            LatentEditError: this model takes no photos.
        """
        if self.photos is None:
            raise LatentEditError(
                f"{self.editor.name} draws no photos: get ffhq1024 once with "
                "'latentedit models pull ffhq1024', and choose it on the page"
            )
        wanted = session.wanted
        if wanted is not None and wanted.came_in(upload.data):  # it is edited as it is
            wanted = None
        session = replace(session, upload=upload, wanted=wanted)
        numbers = [face.number for face in upload.faces]
        number, named = numbers[0], False
        if wanted is not None and wanted.face in numbers:
            number, named = wanted.face, wanted.photo in ("", upload.name)
        if len(upload.faces) > 1 and not named:
            picture = picture_of(upload.shown.pixels, upload.icc)
            return session, {"choose": {"picture": picture, "faces": outlines(upload)}}
        return self._seat(session, {"face": number})

    # ---- the tab Compare

    def compare(
        self, session: Session, attribute: Any, step: Any
    ) -> tuple[Picture, list[ComparedEdit]]:
        """Move one attribute by the same step twice: with no holds, and with auto holds.

        Returns:
            The original's picture, and the two edits.

        Raises:
            LatentEditError: there is no such attribute, or the step is far out of range.
        """
        steps = checked_steps({attribute: step}, self.controls)
        view = session.view
        original = self._seen(session, replace(view, steps={}))
        edits = []
        for title, auto in (("No locks", False), ("Automatic locks", True)):
            alone = View(view.seed, steps=steps, auto=auto, photo=view.photo)
            face = self._seen(session, alone)
            changes = find_changes(self.controls, original.scores, face.scores, steps)
            leakage = [
                abs(face.scores[name] - original.scores[name])
                for name in original.scores.keys() - steps.keys()
            ]
            years = original.years_to(face)
            edits.append(ComparedEdit(title, face.picture, changes, years, float(np.mean(leakage))))
        return original.picture, edits

    def shown(self, session: Session, turn: Turn = nullcontext) -> Shown:
        """Return the current edit, from which files to save are made.

        Refining goes on meanwhile, so the edit keeps the portrait of this moment.
        """
        return Shown(self.editor, session.view, copy(session.sitter), self.photos, turn)

    # ---- acts

    def _start(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        return session, {
            **self._turn(session, request)[1],
            "model": self.editor.name,
            "takes_photos": self.photos is not None,
            "groups": self._groups(),
            "words": [(limit, words) for limit, words in WORDS if np.isfinite(limit)],
            "likeliest": WORDS[-1][1],
            "gallery": self.viewer.gallery(0),
            "frames": FILM_FRAMES,
        }

    def _move(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        view = moved(session.view, request, self.controls)
        preview = request.get("preview") is True
        shown = self._shown(session, view, request, preview=preview)
        if preview:  # the slider still moves: undo skips this view
            return session, shown
        session = session.push(view)
        return session, {**shown, "undo": session.can_undo, "redo": session.can_redo}

    def _pick(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        seed = secrets.randbelow(DICE) if request.get("dice") is True else request.get("seed")
        view = with_seed(session.view, seed, keep=request.get("keep") is True)
        return self._turn(replace(session.push(view), wanted=None), request)

    def _seat(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        """Go on to one face of the uploaded photo; if an edit waits for the photo, apply it."""
        if session.upload is None or self.photos is None:
            raise LatentEditError("the photo is no longer here: choose it again")
        number = request.get("face")
        if type(number) is not int:
            raise LatentEditError("there is no such face in the photo: click one that is outlined")
        sitter = seat(self.photos, self.assessor, session.upload, number)
        wanted = session.wanted
        session = replace(session.seat(sitter), wanted=None)
        message = ""
        if wanted is not None:
            try:
                view = view_of_photo(self.editor, self.controls, session.view, wanted.edit, sitter)
            except LatentEditError as error:
                message = f"The photo is here, but without its edit. {self.plain(str(error))}"
            else:
                session = session.push(view)
                message = "Opened: sliders and locks are back on this photo."
        session, reply = self._turn(session, request)
        return session, {**reply, **({"message": message} if message else {})}

    def _reset(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        view = session.view
        session = session.push(View(view.seed, photo=view.photo))
        return self._turn(replace(session, wanted=None), request)

    def _turn(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        shown = self._shown(session, session.view, request)
        return session, {**shown, **self._controls(session)}

    def _frame(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        index = request.get("index")
        if type(index) is not int:
            raise LatentEditError("there is no such frame")
        sitter = session.sitter
        icc = None if sitter is None else sitter.upload.icc
        picture = picture_of(frame(self.shown(session), index), icc)
        return session, {"frame": picture, "index": index}

    def _look(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        """Report the progress of refining; send the pictures again if they became better."""
        sitter = session.sitter
        if sitter is None or request.get("version") == sitter.version:
            return session, {"face": self._face(session)}
        return session, self._shown(session, session.view, request)

    def _learn(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        """Measure what a slider does to this face, at the places `LEARNED_AT`."""
        name = request.get("attribute")
        if not isinstance(name, str) or name not in self.controls:
            raise LatentEditError("this model has no such slider")
        learned = self.viewer.learned(session.view, session.sitter, name)
        return session, {
            "learned": {"face": self._face(session)["key"], "attribute": name, **learned}
        }

    def _turn_gallery(self, session: Session, request: Mapping[str, Any]) -> tuple[Session, Reply]:
        page = request.get("page")
        if type(page) is not int or not 0 <= page < MAX_SEED // (2 * GALLERY):
            raise LatentEditError("there are no more faces there")
        return session, {"gallery": self.viewer.gallery(page)}

    # ---- parts of replies

    def _shown(
        self, session: Session, view: View, request: Mapping[str, Any], *, preview: bool = False
    ) -> Reply:
        """Return the reply that shows a view: its pictures, and what changed in them."""
        original = self._seen(session, replace(view, steps={}))
        edited = self._seen(session, view, preview=preview)
        years = original.years_to(edited)
        known = request.get("has") == original.picture.key
        reply: Reply = {
            "original": {"key": original.picture.key} if known else original.picture,
            "edited": edited.picture,
            "years": years,
            "face": self._face(session, view),
            **{key: [] for key in ("changes", "fights", "held", "slipped")},
            "told": "",
            "together": 1.0,
            "moved": bool(view.steps),
        }
        if not view.steps:
            return reply
        recipe = recipe_of(self.editor, view)
        changes = find_changes(self.controls, original.scores, edited.scores, view.steps)
        held = [name for name in _strictest(recipe.holds) if name not in recipe.edited]
        return {
            **reply,
            "changes": [asdict(change) for change in changes],
            "told": tell(changes, years),
            "fights": find_fights(self.editor.boundaries, self.controls, view, recipe),
            "held": [name for name in held if name not in view.held],
            "slipped": find_slips(self.controls, original.scores, edited.scores, held),
            "together": share_left(self.editor.boundaries, asked_recipe(self.editor, view)),
        }

    def _face(self, session: Session, view: View | None = None) -> Reply:
        """Return which face is on the page, and the progress of refining."""
        view = view or session.view
        if view.photo is None:
            return {"kind": "seed", "key": f"seed {view.seed}", "done": 1.0, "version": 0}
        sitter = session.sitters[view.photo]
        return {
            "kind": "photo",
            "key": f"photo {view.photo} {sitter.version}",
            "name": sitter.upload.name,
            "number": sitter.face.number,
            "count": len(sitter.upload.faces),
            "square": place_of(sitter),
            "done": sitter.share,
            "version": sitter.version,
            "warnings": sitter.warnings or (),
        }

    def _controls(self, session: Session) -> Reply:
        """Return the state of the page's sliders, locks (holds) and buttons."""
        view = session.view
        return {
            "view": {
                "seed": view.seed,
                "photo": view.photo is not None,
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

    def _seen(self, session: Session, view: View, *, preview: bool = False) -> ScoredFace:
        sitter = None if view.photo is None else session.sitters[view.photo]
        return self.viewer.view(view, sitter, preview=preview)

    def plain(self, text: str) -> str:
        """Return a message with attributes named as the sliders are."""
        names = sorted(self.controls, key=len, reverse=True)
        pattern = rf"(?<![A-Za-z_])({'|'.join(map(re.escape, names))})(?![A-Za-z_])"
        text = re.sub(pattern, lambda found: f"“{self.controls[found[1]].label}”", text)
        return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _strictest(holds: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return all attributes that any move holds, the strictest first."""
    discounts: dict[str, float] = {}
    for held in holds.values():
        for name, discount in held.items():
            discounts[name] = max(discount, discounts.get(name, 0))
    return sorted(discounts, key=lambda name: -discounts[name])
