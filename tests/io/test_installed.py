"""What is installed, read from metadata that the tests write."""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from latentedit.io import installed

ROOT = Path(__file__).parents[2]

METADATA = """Metadata-Version: 2.4
Name: latentedit
Version: 1
Requires-Dist: base>=2
Requires-Dist: elsewhere; sys_platform == "nowhere"
Provides-Extra: all
Requires-Dist: latentedit[some]; extra == 'all'
Requires-Dist: more; extra == 'all'
Provides-Extra: some
Requires-Dist: one<2; extra == 'some'
Requires-Dist: latentedit[all]; extra == 'some'
Provides-Extra: fast
Requires-Dist: quick; extra == 'fast'
"""


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Versions by package: what counts as installed."""
    folder = tmp_path / "latentedit-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    found = {"base": "2.1", "one": "1.0", "more": "0"}
    monkeypatch.setattr(installed, "distribution", lambda name: Distribution.at(folder))
    monkeypatch.setattr(installed, "installed_version", found.get)
    return found


def test_extras_that_the_table_knows_come_first(versions: dict[str, str]) -> None:
    assert installed.known_extras() == ["fast", "all", "some"]


def test_what_is_needed_by_itself_and_for_an_extra(versions: dict[str, str]) -> None:
    assert [str(each) for each in installed.requirements()] == ["base>=2"]
    assert {each.name for each in installed.requirements("all")} == {"one", "more"}
    assert {each.name for each in installed.requirements("some")} == {"one", "more"}, "a circle"
    assert [each.name for each in installed.requirements("fast")] == ["quick"]


def test_what_is_lacking(versions: dict[str, str]) -> None:
    assert (installed.lacking(), installed.lacking("all")) == ([], [])
    assert installed.lacking("fast") == ["quick"]
    versions.update(base="1.9", one="2.0")
    assert installed.lacking() == ["base>=2 (1.9 is installed)"]
    assert installed.lacking("some") == ["one<2 (2.0 is installed)"]


def test_a_package_that_pip_does_not_know() -> None:
    assert installed.installed_version("no-such-package-of-ours") is None
    assert installed.installed_version("packaging")


def test_pyproject_says_of_every_extra_what_the_table_says() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    lines = text.splitlines()
    said = {name: lines[_line(lines, name) - 1] for name in extras}
    assert said == {name: f"# {words}" for name, words in installed.BRINGS.items()}


def _line(lines: list[str], extra: str) -> int:
    start = lines.index("[project.optional-dependencies]")
    return next(n for n, line in enumerate(lines) if n > start and line.startswith(f"{extra} = ["))
