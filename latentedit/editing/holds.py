"""Holds: what an edit must not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from latentedit import defaults
from latentedit.attributes import find_attribute
from latentedit.boundaries.model import Boundaries
from latentedit.editing.steps import by_known_name, read_number
from latentedit.errors import LatentEditError

Hold = str | Sequence[str] | Mapping[str, float]
"""What ``hold=`` accepts: "auto", "all", "none", a name, names, or {name: discount}.

"auto" and "all" mean the same among names: ("auto", "Male") holds what "auto" does, and Male.
"""

_MANY = ("auto", "all")


def resolve_holds(
    boundaries: Boundaries, attribute: str, edited: Sequence[str], hold: Hold
) -> dict[str, float]:
    """Return the {name: discount} that `hold` means for one edit; edited attributes are never held.

    Args:
        boundaries: known names, and the holds that "auto" stands for.
        attribute: the attribute that moves.
        edited: all attributes that move together.
        hold: see `Hold`.

    Raises:
        LatentEditError: unknown word, name or discount.
    """
    if isinstance(hold, str):
        hold = {} if hold == "none" else {hold: defaults.DISCOUNT}
    elif isinstance(hold, Sequence):
        hold = dict.fromkeys(hold, defaults.DISCOUNT)
    elif not isinstance(hold, Mapping):
        raise LatentEditError(f"cannot hold {hold!r}: give auto, all, none, names or discounts")
    holds: dict[str, float] = {}
    if "all" in hold:
        holds = dict.fromkeys(boundaries.names, defaults.DISCOUNT)
    elif "auto" in hold:
        holds = dict(boundaries.auto.get(find_attribute(attribute, boundaries.names), {}))
    holds |= by_known_name(boundaries, _named(hold))
    free = {find_attribute(name, boundaries.names) for name in (attribute, *edited)}
    return {
        name: read_number(discount, f"discount of {name}", 0, 1)
        for name, discount in holds.items()
        if name not in free
    }


def held_by_name(boundaries: Boundaries, hold: Hold) -> set[str]:
    """Return the canonical names that `hold` names: every name for "all", none for "auto".

    Raises:
        LatentEditError: see `resolve_holds`.
    """
    words = (hold,) if isinstance(hold, str) else tuple(hold)
    if "all" in words:
        return set(boundaries.names)
    names = [name for name in words if name not in ("auto", "none")]
    return {find_attribute(name, boundaries.names) for name in names}


def parse_hold(text: str) -> Hold:
    """Read a hold as typed on the command line.

    It is ``auto``, ``all``, ``none``, or ``NAME[=DISCOUNT],...``, where ``auto`` or ``all`` may
    stand among the names.

    Raises:
        LatentEditError: another syntax, a discount that is not a number, or a name given twice.
    """
    if text.strip().lower() in (*_MANY, "none"):
        return text.strip().lower()
    holds: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name.lower() in (*_MANY, "none"):
            name = name.lower()
        if name in holds:
            raise LatentEditError(f"{name} is held twice: name it once")
        try:
            holds[name] = float(value) if equals else defaults.DISCOUNT
        except ValueError:
            name = ""
        if not name:
            raise LatentEditError(
                f"cannot read hold {part!r}: write auto, all, none, NAME or NAME=DISCOUNT, "
                "say auto,Male=0.8"
            )
    _named(holds)
    return holds


def _named(hold: Mapping[str, float]) -> dict[str, float]:
    """Return the holds that are given by name: those besides "auto" and "all".

    Raises:
        LatentEditError: "none" among names, or "auto" or "all" with a discount.
    """
    if "none" in hold:
        raise LatentEditError("hold none, or names, not both")
    for word in _MANY:
        if word in hold and hold[word] != defaults.DISCOUNT:
            raise LatentEditError(f"{word} takes no discount: give one to each name that needs it")
    return {name: discount for name, discount in hold.items() if name not in _MANY}
