"""Modules import only lower levels of the design, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import latentedit

PACKAGE = Path(latentedit.__file__).parent

LEVELS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "defaults",
        "files",
        "cards",
        "hashing",
        "devices",
        "attributes",
        "images",
        "animations",
        "latents",
        "layers",
        "packed",
        "winograd",
        "reliability",
    ),
    (
        "generator",
        "stylegan2",
        "adapters",
        "backbone",
        "classifier",
        "age",
        "faces",
        "degradations",
        "portrait_network",
        "portrait_baseline",
        "boundaries",
        "finder",
        "inference",
    ),
    ("projection", "editing", "pretrained", "hub", "checkpoints"),
    ("portrait", "portrait_report", "pool", "samples", "unsupervised", "evaluation"),
    ("networks", "editor", "search", "strips", "full_report"),
    ("demo",),
    ("cli",),
)
"""From the bottom up; inside a level a module may import those to its left."""

ORDER = {name: place for place, name in enumerate(name for level in LEVELS for name in level)}
BELOW_TRAINING = {name for level in LEVELS[:3] for name in level}


def modules() -> dict[str, Path]:
    """Dotted names below the package, `""` for its own __init__, and their files."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a module imports when it runs, lazily or not (not for types alone)."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module in ("latentedit", "latentedit.cli", "latentedit.training"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module
        pending.extend(ast.iter_child_nodes(node))


def part(dotted: str) -> str:
    """The first name below the package."""
    return dotted.removeprefix("latentedit").lstrip(".").partition(".")[0]


def own(path: Path) -> set[str]:
    """Parts of the package that a module imports."""
    return {part(name) for name in imports(path) if name.split(".")[0] == "latentedit"}


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_only_lower_levels(module: str) -> None:
    me, imported = part(module), own(modules()[module])
    if me == "training":
        assert imported <= BELOW_TRAINING | {"training"}
    elif me == "cli":
        assert imported <= {*ORDER, "training"}
    elif me == "__main__":
        assert imported == {"cli"}
    elif me == "":
        assert imported <= {*ORDER} - {"cli"}
    else:
        assert me in ORDER, f"give {me} a level in LEVELS"
        wrong = {name for name in imported if name != me and ORDER.get(name, 99) >= ORDER[me]}
        assert not wrong


@pytest.mark.parametrize(
    "module", ["boundaries", "finder", "editing", "attributes", "files", "latents"]
)
def test_arithmetic_needs_no_torch(module: str) -> None:
    known, seen, pending = modules(), set(), [module]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        pending.extend(own(known[name]))
        assert "torch" not in {imported.split(".")[0] for imported in imports(known[name])}, name


def test_the_reader_of_imports_sees_what_it_should(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from latentedit.editor import FaceEditor\n"
        "from latentedit import editing\n"
        "def lazily():\n    import latentedit.training.data\n    from torch import nn\n"
    )
    assert own(path) == {"editing", "training"}
    assert "torch" in set(imports(path))
