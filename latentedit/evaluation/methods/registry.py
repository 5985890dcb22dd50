"""The methods that are compared. A method is one file and one line here."""

from __future__ import annotations

from collections.abc import Sequence

from latentedit.errors import LatentEditError
from latentedit.evaluation.methods.base import Method
from latentedit.evaluation.methods.boundaries import conditional, held
from latentedit.evaluation.methods.channels import channel
from latentedit.evaluation.methods.mean_difference import mean_difference
from latentedit.evaluation.methods.unlabelled import unlabelled

IGAN = "Shen et al. 2020 (InterFaceGAN), conditional manipulation"
CLIPLESS = "Patashnik et al. 2021 (StyleCLIP), global directions, by labels"
OWN = "own boundary, discounted projection"

METHODS: tuple[Method, ...] = (
    Method("none", "no locks", "own boundary, no holds", held("none"), published=False),
    Method("interfacegan-1", "InterFaceGAN, 1 condition", IGAN, conditional(1)),
    Method("interfacegan-2", "InterFaceGAN, 2 conditions", IGAN, conditional(2)),
    Method("sefa", "SeFa", "Shen and Zhou 2021, equation 8", unlabelled("sefa")),
    Method("ganspace", "GANSpace", "Härkönen et al. 2020, section 2.2", unlabelled("pca")),
    Method("mean-difference", "mean difference", CLIPLESS, mean_difference),
    Method("channel", "StyleSpace channel", "Wu et al. 2021, attribute-specific channels", channel),
    Method("auto", "ours, auto locks", OWN, held("auto"), published=False),
)

OURS = "auto"
"""The method that the others are compared with."""


def find_methods(names: Sequence[str] | None, given: Sequence[Method] = ()) -> list[Method]:
    """Return methods by name and those in `given`, in the registry's order; all by default.

    Raises:
        LatentEditError: there is no such method, or a given one has a name that is taken.
    """
    known = {method.name: method for method in METHODS}
    for method in given:
        if method.name in known:
            raise LatentEditError(f"there is a method {method.name} already: choose another name")
        known[method.name] = method
    wanted = list(known) if not names else [*names, *(method.name for method in given)]
    for name in wanted:
        if name not in known:
            raise LatentEditError(f"no method {name!r}: choose from {', '.join(known)}")
    return [method for name, method in known.items() if name in wanted]
