"""What is asked of a photo: of a portrait for people to look at, or of one for a passport.

The only place that says so: a convention is one entry of `CONVENTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from latentedit.errors import LatentEditError


@dataclass(frozen=True)
class Convention:
    """By what a photo is judged.

    Attributes:
        name: what it is called.
        praise: what a photo is in which all that is asked is good.
        asked: what is asked of each quality, in words; a quality that is not here is measured, and
            not judged.
        most_degrees: how far a head may be turned (``yaw``) and lean (``roll``), beside what the
            network says of its pose.
        worn: attributes that people may wear before or above the face, and their names in words:
            with one of them nothing is said against an occlusion.
        not_looked_at: what the convention asks besides, and nothing here measures.
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
            # ISO/IEC 19794-5, 7.2.2: yaw and pitch of 5 degrees, roll of 8. Five landmarks show
            # roll well and yaw to ten degrees: from 15 on it is surely more than 5.
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
"""By name. The first asks for what people like in a portrait; the second is after ISO/IEC 19794-5
and the photograph guidelines of ICAO's Doc 9303, but for make-up, which is the Photo-aid slides'
rule, and glasses, which Doc 9303 allows where they reflect nothing, and some countries do not."""


def find_convention(name: str | Convention) -> Convention:
    """Return a convention by its name; one that is given as such comes back.

    Raises:
        LatentEditError: there is none of that name.
    """
    if isinstance(name, Convention):
        return name
    if name not in CONVENTIONS:
        raise LatentEditError(f"no convention {name!r}: choose {' or '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
