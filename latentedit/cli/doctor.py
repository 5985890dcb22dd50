"""`latentedit doctor`: report what is installed, which models are here, and what is missing."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import typer

from latentedit.errors import LatentEditError
from latentedit.io.installed import (
    BRINGS,
    FOR_DEVELOPERS,
    FOR_EDITS,
    PACKAGE,
    installed_version,
    known_extras,
    lacking,
    requirements,
)
from latentedit.io.launch import cores

SHOWN = ("torch", "numpy", "pillow", "openvino", "gradio", "dlib-bin", "huggingface_hub")
"""Packages whose versions are printed; other packages are named only if they are missing."""

NEEDED = ("generator", "classifier", "boundaries")
"""Parts that a model needs for edits."""

CANNOT_EDIT = 1
"""Exit code if an edit would not work."""


@dataclass
class Findings:
    """The findings of `examine`.

    Attributes:
        versions: version by package; None if the package is missing.
        machine: cores, threads, device, precision.
        cache: the folder of pulled models, and whether it can be written to.
        models: name, folder and parts of each model.
        default: the model that an edit uses, if there is one.
        extras: by name: what the extra brings, whether it is here, what it lacks, how to get it.
        problems: reasons why an edit would not work; empty if it would.
        advice: sentences on what else is missing.
    """

    versions: dict[str, str | None] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    default: str | None = None
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is here and what is missing.

    It lists packages, models, cores and precision.

    The exit code is 0 if an edit would work, and 1 if not. Nothing is fetched.
    """
    found = examine()
    if as_json:
        print(json.dumps({"edit_works": not found.problems, **asdict(found)}))
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(CANNOT_EDIT)


def examine() -> Findings:
    """Look at this installation and this machine; weights are read, but nothing is computed."""
    found = Findings()
    found.versions = {
        "Python": platform.python_version(),
        PACKAGE: installed_version(PACKAGE),
        **{name: installed_version(name) for name in SHOWN},
    }
    _look_at_packages(found)
    _look_at_cache(found)
    if not os.access(os.curdir, os.W_OK):
        found.advice.append("this folder cannot be written to: name pictures elsewhere with -o")
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # PyTorch, or a library that it needs, is missing
        found.problems.append(
            f"PyTorch cannot be imported ({_one_line(error)}): pip install 'torch==2.13.*'"
        )
        return found
    _look_at_machine(found)
    _look_at_models(found)
    return found


def _look_at_packages(found: Findings) -> None:
    if found.versions[PACKAGE] is None:
        found.advice.append(
            f"{PACKAGE} was not installed by pip, so its extras are not known: pip install -e ."
        )
        return
    if missing := lacking():
        names = ", ".join(missing)
        found.problems.append(f"packages are missing or too old: {names}; pip install {PACKAGE}")
    for name in known_extras():
        missing = lacking(name)
        found.extras[name] = {
            "brings": BRINGS.get(name, ", ".join(each.name for each in requirements(name))),
            "installed": not missing,
            "missing": missing,
            "command": f"pip install '{PACKAGE}[{name}]'",
        }
    if not found.extras.get("fast", {"installed": True})["installed"]:
        found.advice.append("edits take some three times longer without the extra fast")
    if not found.extras.get("photos", {"installed": True})["installed"]:
        found.advice.append("photos of your own cannot be edited without the extra photos")


def _look_at_cache(found: Findings) -> None:
    from latentedit.pretrained.cache import home

    try:
        folder = home()
    except LatentEditError as error:
        found.cache = {"folder": None, "writable": False}
        found.advice.append(str(error))
        return
    there = next(each for each in (folder, *folder.parents) if os.path.exists(each))
    writable = there.is_dir() and os.access(there, os.W_OK)
    found.cache = {"folder": str(folder), "exists": folder.is_dir(), "writable": writable}
    if not writable:
        found.advice.append(
            f"{there} cannot be written to, so no model can be pulled: set LATENTEDIT_HOME to "
            "another folder"
        )


def _look_at_machine(found: Findings) -> None:
    import torch

    from latentedit.inference.devices import computes_bfloat16, device_name, pick_device

    device = pick_device()
    found.machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "device_name": device.type if device.type == "cpu" else device_name(device),
        "bfloat16": computes_bfloat16(device),
    }


def _look_at_models(found: Findings) -> None:
    from latentedit.pretrained.bundles import bundle_names, default_bundle
    from latentedit.pretrained.cache import SOURCES, pulled
    from latentedit.pretrained.model import Bundle

    for name in bundle_names():
        try:
            bundle = Bundle.find(name)
        except LatentEditError as error:
            found.problems.append(str(error))
            continue
        found.models.append(
            {
                "name": name,
                "folder": str(bundle.folder),
                "pulled": str(pulled(name)) if pulled(name) else None,
                "parts": {part: str(home) for part, home in bundle.homes.items()},
            }
        )
    for name in SOURCES:
        if not pulled(name):
            found.advice.append(
                f"{name} is not here: fetch it once with 'latentedit models pull {name}'"
            )
    if not found.models:
        found.problems.append("no model is here: 'latentedit models pull ffhq1024' fetches one")
        return
    found.default = default_bundle()
    found.problems += _unfit(found.default)


def _unfit(name: str) -> list[str]:
    """Return the reasons why a model cannot edit faces: its missing or damaged parts."""
    from latentedit.io.cards import load_card
    from latentedit.pretrained.bundles import weights_file
    from latentedit.pretrained.cache import pulled
    from latentedit.pretrained.model import Bundle

    reasons = []
    try:
        homes = Bundle.find(name).homes
    except LatentEditError as error:
        return [str(error)]
    for part in NEEDED:
        if part not in homes:
            reasons.append(f"{name} has no {part}: fetch or make it again")
            continue
        try:
            load_card(weights := weights_file(homes[part], part), part)
        except LatentEditError as error:
            again = f": remove {weights.parent}, then 'latentedit models pull {name}'"
            reasons.append(f"{error}{again if weights.parent == pulled(name) else ''}")
    return reasons


def _print(found: Findings) -> None:
    print("Versions")
    for name, number in found.versions.items():
        print(f"  {name:16} {number or 'not installed'}")
    if found.machine:
        machine = found.machine
        print(f"Machine: {machine['system']}")
        print(f"  cores            {machine['cores']}, PyTorch takes {machine['threads']} threads")
        print(f"  device           {machine['device_name']}")
        computes = "float32, or bfloat16, which it computes" if machine["bfloat16"] else "float32"
        print(f"  precision        {computes}")
    writable = "" if found.cache["writable"] else ", cannot be written to"
    print(f"Cache\n  {found.cache['folder'] or 'no folder is known'}{writable}")
    print("Models")
    for model in found.models:
        mark = " (the default)" if model["name"] == found.default else ""
        print(f"  {model['name']}{mark}: {', '.join(model['parts'])}")
        for home in dict.fromkeys(
            (*([model["pulled"]] if model["pulled"] else []), model["folder"])
        ):
            print(f"    {home}")
    developers = {name: extra for name, extra in found.extras.items() if name in FOR_DEVELOPERS}
    edits = {name: extra for name, extra in found.extras.items() if name in FOR_EDITS}
    others = {n: e for n, e in found.extras.items() if n not in edits and n not in developers}
    _print_extras("Extras for edits", edits)
    _print_extras("Extras for more than edits", others)
    _print_extras("Extras for those who work on latentedit", developers)
    for line in found.problems:
        print(f"Problem: {line}")
    for line in found.advice:
        print(f"Note: {line}")
    print(
        "An edit would not work."
        if found.problems
        else "An edit would work: latentedit edit --attr Young --step -3"
    )


def _print_extras(title: str, extras: Mapping[str, Mapping[str, Any]]) -> None:
    if extras:
        print(title)
    for name, extra in extras.items():
        print(f"  {name:9} {'yes' if extra['installed'] else 'no ':3}  {extra['brings']}")
        if not extra["installed"]:
            print(f"                 {extra['command']} (lacks {', '.join(extra['missing'])})")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
