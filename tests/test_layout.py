"""Modules import only lower levels of the design, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import latentedit

PACKAGE = Path(latentedit.__file__).parent

LEVELS: tuple[tuple[str, ...], ...] = (
    ("errors", "defaults", "moved"),
    ("attributes", "io"),
    ("generators", "classifiers"),
    ("photos",),
    ("pretrained",),
    ("inference",),
    ("boundaries", "portrait"),
    ("editing", "checkpoints", "data"),
    ("demo", "evaluation", "training"),
    ("cli",),
)
"""From the bottom up. A level imports only those below it: those beside it know nothing of it."""

LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def modules() -> dict[str, Path]:
    """Dotted names below the package, `""` for its own __init__, and their files."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a module imports: lazily, and for its types alone, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("latentedit.") in MODULES else node.module


def own(path: Path) -> set[str]:
    """Modules of this package that a module imports, as dotted names below it."""
    names = {name for name in imports(path) if name.partition(".")[0] == "latentedit"}
    return {name.removeprefix("latentedit").lstrip(".") for name in names}


def room(module: str) -> str:
    """The package, or the module at the root, that a module is in."""
    return module.partition(".")[0]


def test_few_modules_lie_at_the_root() -> None:
    assert len([name for name in MODULES if "." not in name and name not in rooms()]) <= 8
    assert {room(name) for name in MODULES} == {*LEVEL, "__main__", ""}


def rooms() -> set[str]:
    """The packages."""
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_only_lower_levels(module: str) -> None:
    me, imported = room(module), {room(name) for name in own(MODULES[module])}
    if me == "__main__":
        assert imported == {"cli"}
    elif me == "":
        assert "cli" not in imported
    else:
        assert me in LEVEL, f"give {me} a level in LEVELS"
        assert {name for name in imported - {me} if LEVEL.get(name, 99) >= LEVEL[me]} == set()


def test_no_modules_import_each_other() -> None:
    graph = {name: own(path) - {name, room(name)} for name, path in MODULES.items() if name}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "module",
    [
        "boundaries.model",
        "boundaries.fitting",
        "editing.displacement",
        "io.files",
        "generators.latents",
    ],
)
def test_arithmetic_needs_no_torch(module: str) -> None:
    seen: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        pending.extend(own(MODULES[name]))
        assert "torch" not in {imported.split(".")[0] for imported in imports(MODULES[name])}, name


def test_the_reader_of_imports_sees_what_it_should(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from latentedit.editing.editor import FaceEditor\n"
        "from latentedit.generators import latents\n"
        "from latentedit import FaceEditor\n"
        "def lazily():\n    import latentedit.data.celeba\n    from torch import nn\n"
    )
    assert own(path) == {"", "editing.editor", "generators.latents", "data.celeba"}
    assert "torch" in set(imports(path))
