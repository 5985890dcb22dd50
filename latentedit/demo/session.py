"""One user's session: the view that is shown, undo and redo. All values are immutable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from latentedit.demo.controls import Control
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED

if TYPE_CHECKING:
    from latentedit.demo.sitters import PhotoEdit, Sitter, Upload

MAX_HISTORY = 200
"""How many views are kept for undo."""

MAX_SITTERS = 2
"""How many sitters of one visitor are kept; with 2, undo leads back to the one before."""


@dataclass(frozen=True)
class View:
    """What is on the page: a face, its sliders and its holds.

    Attributes:
        seed: the seed of the generated face, which is the original if there is no photo.
        photo: the number of the sitter whose photo is the original, or None.
        steps: slider values by attribute, in standard deviations of latents; 0 for all others.
        auto: whether the auto holds, stored with the boundaries, apply.
        held: further attributes that must not change; the page calls them locked.
        strictness: the discount of `held`, 0 (free) to 1 (held fully).
        given: holds of an opened recipe that `held` cannot express, by edited attribute. None if
            there are none, or once the user has touched a lock.
    """

    seed: int
    steps: Mapping[str, float] = field(default_factory=dict)
    auto: bool = True
    held: tuple[str, ...] = ()
    strictness: float = 1.0
    given: Mapping[str, Mapping[str, float]] | None = None
    photo: int | None = None


@dataclass(frozen=True)
class Session:
    """All views of one user, with the current one.

    Attributes:
        views: the views, oldest first; never empty.
        position: the index of the current view.
        sitters: the people in photos that views show, by number, oldest first.
        upload: a photo in which no face was chosen yet, or None.
        wanted: an edit whose photo the user has still to bring, or None.
    """

    views: tuple[View, ...]
    position: int = 0
    sitters: Mapping[int, Sitter] = field(default_factory=dict)
    upload: Upload | None = None
    wanted: PhotoEdit | None = None

    @property
    def view(self) -> View:
        """The current view."""
        return self.views[self.position]

    @property
    def can_undo(self) -> bool:
        """Whether there is a view before this one."""
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a view after this one."""
        return self.position < len(self.views) - 1

    def push(self, view: View) -> Session:
        """Add a view and show it; undone views are forgotten. An equal view changes nothing."""
        if view == self.view:
            return self
        views = (*self.views[: self.position + 1], view)[-MAX_HISTORY:]
        return replace(self, views=views, position=len(views) - 1)

    @property
    def sitter(self) -> Sitter | None:
        """The person in the photo of the current view, or None."""
        return None if self.view.photo is None else self.sitters[self.view.photo]

    def seat(self, sitter: Sitter) -> Session:
        """Go on to a new sitter, unedited; only the newest `MAX_SITTERS` are kept."""
        number = max(self.sitters, default=0) + 1
        kept = dict([*self.sitters.items(), (number, sitter)][-MAX_SITTERS:])
        views = tuple(view for view in self.views if view.photo is None or view.photo in kept)
        position = sum(view in views for view in self.views[: self.position + 1]) - 1
        moved = replace(
            self,
            views=views or (View(self.view.seed),),
            position=max(position, 0),
            sitters=kept,
            upload=None,
        )
        view = replace(self.view, steps={}, given=None, photo=number)
        return moved.push(view)

    def undo(self) -> Session:
        """Go one view back, if there is one."""
        return replace(self, position=max(self.position - 1, 0))

    def redo(self) -> Session:
        """Go one view forward, if there is one."""
        return replace(self, position=min(self.position + 1, len(self.views) - 1))


def moved(view: View, request: Mapping[str, Any], controls: Mapping[str, Control]) -> View:
    """Return the view that a request from the page asks for: its steps and holds.

    The page is not trusted: everything in the request is checked.

    Args:
        view: the current view; its face stays.
        request: ``steps`` {attribute: number}, and optionally ``auto`` (bool), ``locks`` [names],
            ``strictness`` (0 to 1) and ``given`` (false to let go of an opened recipe's holds).
        controls: the model's sliders.

    Raises:
        LatentEditError: the request holds something else.
    """
    steps = request.get("steps")
    auto = request.get("auto", view.auto)
    held = request.get("locks", list(view.held))
    if not isinstance(steps, dict) or not isinstance(auto, bool) or not isinstance(held, list):
        raise LatentEditError("the page sent something unreadable: reload it")
    if not all(isinstance(name, str) and name in controls for name in held):
        raise LatentEditError("a lock is on an attribute that this model does not know: reload")
    changed = replace(
        view,
        steps=checked_steps(steps, controls),
        auto=auto,
        held=tuple(name for name in controls if name in held),
        strictness=_number(request.get("strictness", view.strictness), 0, 1, "strictness"),
    )
    touched = (view.auto, view.held, view.strictness) != (
        changed.auto,
        changed.held,
        changed.strictness,
    )
    return replace(changed, given=None) if touched or request.get("given") is False else changed


def with_seed(view: View, seed: Any, *, keep: bool) -> View:
    """Return the view of another seed; its holds stay.

    Args:
        view: the current view.
        seed: the seed, unchecked.
        keep: whether the sliders stay too; else they go back to 0.

    Raises:
        LatentEditError: `seed` is not a seed.
    """
    number = _number(seed, 0, MAX_SEED, "a seed")
    if number != int(number):
        raise LatentEditError("a seed is a whole number")
    if keep:
        return replace(view, seed=int(number), photo=None)
    return replace(view, seed=int(number), photo=None, steps={}, given=None)


def checked_steps(steps: Mapping[Any, Any], controls: Mapping[str, Control]) -> dict[str, float]:
    """Return the steps that are not 0, in the order of the page.

    Raises:
        LatentEditError: an attribute has no slider, or a step is no number or far out of range.
    """
    unknown = [name for name in steps if name not in controls]
    if unknown:
        raise LatentEditError(f"this model has no slider for {str(unknown[0])[:40]!r}")
    return {
        name: value
        for name, control in controls.items()
        if name in steps
        and (value := _number(steps[name], -control.limit, control.limit, control.label))
    }


def _number(value: Any, low: float, high: float, what: str) -> float:
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if low <= number <= high:
        return float(number)
    raise LatentEditError(f"{what} must be a number from {low:.10g} to {high:.10g}")
