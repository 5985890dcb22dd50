"""The picture of the house in CONTRIBUTING.md, and what else that page says of the code."""

from __future__ import annotations

import re
from pathlib import Path

import house
import pytest
from hypothesis import given
from hypothesis import strategies as st

PAGE = house.PAGE.read_text(encoding="utf-8")


def test_the_picture_is_up_to_date() -> None:
    """If not: python scripts/house.py."""
    assert house.written(PAGE, house.mermaid(house.graph(house.PACKAGE))) == PAGE


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "from mine.top import a",
        "errors.py": "",
        "io/__init__.py": "from mine.errors import E",
        "io/files.py": "import os, mine.io",
        "top/__init__.py": "",
        "top/a.py": "def lazily():\n    from mine import errors\n    from mine.io import files\n",
    }
    for name, text in files.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "mine"


def test_imports_are_read_from_files(package: Path) -> None:
    assert house.graph(package) == {"errors": set(), "io": {"errors"}, "top": {"errors", "io"}}


def test_the_picture_of_a_small_house(package: Path) -> None:
    lines = house.mermaid(house.graph(package)).splitlines()
    assert [line.strip() for line in lines if "-->" in line] == ["io --> errors", "top --> io"]
    order = [line.strip() for line in lines if line.strip() in ("errors", "io", "top")]
    assert order == ["top", "io", "errors"]


def reach(graph: house.Graph, start: int) -> set[int]:
    found: set[int] = set()
    pending = [start]
    while pending:
        new = graph[pending.pop()] - found
        found |= new
        pending += new
    return found


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=28))
def test_fewer_arrows_lead_to_the_same_places(pairs: set[tuple[int, int]]) -> None:
    graph = {node: {low for low, high in pairs if high == node and low < high} for node in range(8)}
    fewer = house.reduced(graph)
    assert all(fewer[node] <= graph[node] for node in graph)
    for node in graph:
        assert reach(fewer, node) == reach(graph, node)
        for each in fewer[node]:  # none of them could go
            assert all(each not in reach(fewer, other) for other in fewer[node] - {each})
    rows = house.levels(graph)
    level = {node: number for number, row in enumerate(rows) for node in row}
    assert all(level[low] < level[high] for high in graph for low in graph[high])


@pytest.mark.parametrize("page", ["", house.START, house.END + house.START, 2 * house.START])
def test_a_page_without_its_place_for_the_picture(page: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        house.written(page, "flowchart TD")


def test_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`((?:latentedit|scripts|tests|docs|notebooks)/[\w/.-]+)`", PAGE)
    assert len(named) >= 10
    assert [name for name in named if not (house.ROOT / name).exists()] == []
