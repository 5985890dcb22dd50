"""Draw the house: which package imports which, as a Mermaid diagram in CONTRIBUTING.md.

    python scripts/house.py            writes the diagram anew
    python scripts/house.py --check    says whether it is up to date, and changes nothing

The house is the whole package. Its rooms are the packages and modules directly inside. Imports are
read from syntax trees, lazy ones too; nothing is imported. An arrow between two rooms is left out
if other arrows lead the same way.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from latentedit.io.files import atomic_path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "latentedit"
PAGE = ROOT / "CONTRIBUTING.md"
START, END = "<!-- house: made by scripts/house.py -->", "<!-- end of the house -->"

Graph = dict[str, set[str]]


def rooms(package: Path) -> list[str]:
    """Return packages and modules directly inside a package, without `__init__` and `__main__`."""
    packages = [path.parent.name for path in package.glob("*/__init__.py")]
    modules = [path.stem for path in package.glob("*.py") if not path.stem.startswith("__")]
    return sorted(packages + modules)


def imported(path: Path, package: str) -> Iterator[str]:
    """Yield the rooms that a file imports from its package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            names = [f"{package}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            first, _, rest = name.partition(".")
            if first == package and rest:
                yield rest.partition(".")[0]


def graph(package: Path) -> Graph:
    """Return the rooms that each room imports."""
    names = rooms(package)
    found: Graph = {}
    for room in names:
        folder = package / room
        files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
        inner = {name for file in files for name in imported(file, package.name)}
        found[room] = (inner & set(names)) - {room}
    return found


def levels(house: Mapping[str, set[str]]) -> list[list[str]]:
    """Return rooms by level, lowest first; a room is one level above the highest it imports."""
    height: dict[str, int] = {}
    for room in TopologicalSorter(house).static_order():
        height[room] = 1 + max((height[below] for below in house[room]), default=-1)
    top = max(height.values(), default=-1)
    return [sorted(room for room in house if height[room] == level) for level in range(top + 1)]


def reduced(house: Mapping[str, set[str]]) -> Graph:
    """Return the house without arrows that others make needless (transitive reduction)."""
    below: Graph = {}
    for room in TopologicalSorter(house).static_order():
        below[room] = set(house[room]).union(*(below[each] for each in house[room]))
    return {
        room: {each for each in inner if not any(each in below[other] for other in inner)}
        for room, inner in house.items()
    }


def mermaid(house: Mapping[str, set[str]]) -> str:
    """Return the diagram: a row per level, the highest first, and arrows to imported rooms."""
    arrows = reduced(house)
    lines = ["flowchart TD"]
    for level, row in reversed(list(enumerate(levels(house)))):
        lines.append(f'    subgraph L{level}["level {level}"]')
        lines += [f"        {room}" for room in row]
        lines.append("    end")
    lines += [f"    {room} --> {each}" for room in sorted(arrows) for each in sorted(arrows[room])]
    return "\n".join(lines)


def written(page: str, diagram: str) -> str:
    """Return a page with the diagram between its markers.

    Raises:
        ValueError: the page does not have each marker once, in order.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or START in after or END in after:
        raise ValueError(f"the page needs the lines {START} and {END}, once each")
    return f"{before}{START}\n\n```mermaid\n{diagram}\n```\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the house into CONTRIBUTING.md.")
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    new = written(page, mermaid(graph(PACKAGE)))
    if new == page:
        print("the house is up to date")
    elif check:
        sys.exit("the house has changed: python scripts/house.py")
    else:
        with atomic_path(PAGE) as temporary:
            temporary.write_text(new, encoding="utf-8")
        print(f"{PAGE.name} is written")


if __name__ == "__main__":
    main()
