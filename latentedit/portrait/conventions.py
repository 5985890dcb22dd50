"""Conventions: what is asked of a portrait for people to look at, and of a passport photo.

Each convention is one entry of `CONVENTIONS`; no other place says what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from latentedit.errors import LatentEditError


@dataclass(frozen=True)
class Convention:
    """The rules that a photo is judged by.

    Attributes:
        name: the convention's name.
        praise: what a photo is called if everything that is asked is good.
        asked: what is asked of each quality, in words; a quality that is not listed is measured but
            not judged.
        most_degrees: how far a head may be turned (``yaw``) and lean (``roll``). This counts in
            addition to the network's verdict on the pose.
        worn: attributes that people may wear in front of or above the face, and words for them. If
            one is seen, an occlusion is not called poor.
        not_looked_at: what the convention asks too, but nothing here measures.
    """

    name: str
    praise: str
    asked: Mapping[str, str]
    most_degrees: Mapping[str, float] = field(default_factory=dict)
    worn: Mapping[str, str] = field(default_factory=dict)
    not_looked_at: tuple[str, ...] = ()


CONVENTIONS: Mapping[str, Convention] = {
    each.name: each
    for each in (
        Convention(
            "portrait",
            "a good portrait",
            {
                "blur": "the face is sharp",
                "occlusion": "nothing hides the face; glasses and hats may be worn",
                "illumination": "the face is lit well",
                "pose": "the head is turned, or leans, by less than some 20 degrees",
            },
            worn={"Eyeglasses": "glasses", "Wearing_Hat": "a hat"},
        ),
        Convention(
            "passport",
            "nothing seen that speaks against a passport's photo",
            {
                "blur": "the face is sharp",
                "occlusion": "nothing hides the face; no glasses, no hat",
                "make-up": "no heavy make-up",
                "illumination": "the face is lit evenly",
                "expression": "neutral, with a closed mouth",
                "pose": "the head is turned by at most 15 degrees, and leans by at most 8",
            },
            # ISO/IEC 19794-5, 7.2.2: at most 5 degrees of yaw and pitch, and 8 of roll. Five
            # landmarks show roll well, and yaw to ten degrees: a yaw of 15 is surely above 5.
            most_degrees={"yaw": 15.0, "roll": 8.0},
            not_looked_at=(
                "open eyes",
                "where the eyes look",
                "reflections on the skin",
                "a head that nods",
                "background",
                "size and place of the head",
                "90 pixels or more between the eyes",
            ),
        ),
    )
}
"""Conventions by name. The first asks for what people like in a portrait. The second follows
ISO/IEC 19794-5 and the photograph guidelines of ICAO's Doc 9303, with two exceptions. The rule on
make-up is that of the Photo-aid slides. Glasses are not allowed: Doc 9303 allows them if they
reflect nothing, but some countries do not."""


def find_convention(name: str | Convention) -> Convention:
    """Return a convention by its name; a `Convention` is returned unchanged.

    Raises:
        LatentEditError: no convention has that name.
    """
    if isinstance(name, Convention):
        return name
    if name not in CONVENTIONS:
        raise LatentEditError(f"no convention {name!r}: choose {' or '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
