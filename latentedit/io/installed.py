"""Find which requirements of this package are installed, by metadata; nothing is imported."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "latentedit"

BRINGS = {
    "fast": "OpenVINO: on a CPU, pictures in about a third of the time",
    "photos": "edits of your own photos, HEIC among them",
    "demo": "the slider page in the browser, and edits as MP4",
    "hub": "models of the Hugging Face Hub",
    "onnx": "generators in ONNX files",
    "faces": "faces found in pictures, and a second opinion on ages",
    "plots": "plots of measurements",
    "evaluate": "measurements: how good generators and edits are",
    "train": "training on several processes, and through features of ImageNet",
    "test": "what the tests need",
    "docs": "what 'make docs' needs",
    "bench": "what 'make bench' needs",
}
"""What each extra is for; pyproject.toml says the same beside it."""

FOR_EDITS = ("fast", "photos", "demo")
"""Extras that most people want."""

FOR_DEVELOPERS = ("test", "docs", "bench")
"""Extras that only people who work on this package want."""


def installed_version(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def known_extras() -> list[str]:
    """Return the names of this package's extras, in the order of `BRINGS`.

    Extras that `BRINGS` does not know come last. The list is empty if pip did not install this
    package.
    """
    own = _own()
    found = list(own.metadata.get_all("Provides-Extra") or ()) if own else []
    order = list(BRINGS)
    return sorted(found, key=lambda name: (order.index(name) if name in order else 99, name))


def requirements(extra: str = "") -> list[Requirement]:
    """Return what this package needs here: without extras, or for one extra.

    Extras inside an extra are followed. Each requirement is listed once.
    """
    found: dict[str, Requirement] = {}
    for requirement in _followed(extra, set()):
        found.setdefault(str(requirement), requirement)
    return list(found.values())


def lacking(extra: str = "") -> list[str]:
    """Return requirements that are not met, such as ``torch>=2.13,<2.14 (2.12 is installed)``."""
    found = []
    for requirement in requirements(extra):
        has = installed_version(requirement.name)
        if has is None:
            found.append(_words(requirement))
        elif not requirement.specifier.contains(has, prereleases=True):
            found.append(f"{_words(requirement)} ({has} is installed)")
    return found


def _words(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _followed(extra: str, seen: set[str]) -> Iterator[Requirement]:
    own = _own()
    for line in (own.requires or ()) if own else ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        if extra and (marker is None or marker.evaluate({"extra": ""})):
            continue  # needed without any extra
        if canonicalize_name(requirement.name) != PACKAGE:
            yield requirement
            continue
        for inner in sorted(requirement.extras - seen):
            seen.add(inner)
            yield from _followed(inner, seen)


def _own() -> Distribution | None:
    try:
        return distribution(PACKAGE)
    except PackageNotFoundError:
        return None
