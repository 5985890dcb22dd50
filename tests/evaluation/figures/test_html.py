"""The evaluation's page: what is in it, and that nothing breaks out of its place."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from latentedit.evaluation.figures.html import Section, Table, bad, good, page
from latentedit.io.images import open_image, save_image

ODD = "<b>\"5\" & 'six'</b>"


class Reader(HTMLParser):
    """Collects elements and the texts that stand in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append({"tag": tag, **dict(attrs)})
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def test_a_page_holds_its_words_tables_and_pictures(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    table = Table(("name", ODD), [["Young", good("0.9")], [ODD, bad("0.1")]])
    sections = [
        Section("Boundaries", ("Words.", ODD), (table,)),
        Section(ODD, pictures=((tmp_path / "a.png", ODD),)),
    ]
    reader = Reader(page(ODD, ["First."], sections))
    assert reader.open == []
    assert reader.of("title") == reader.of("h1") == [ODD]
    assert reader.of("h2") == reader.of("a") == ["Boundaries", ODD]
    assert reader.of("p") == ["First.", "Words.", ODD]
    assert reader.of("th") == ["name", ODD]
    assert reader.of("td") == ["Young", "0.9", ODD, "0.1"]
    assert [cell.get("class") for cell in reader.attributes if cell["tag"] == "td"] == [
        None,
        "good",
        None,
        "bad",
    ]
    (image,) = (each for each in reader.attributes if each["tag"] == "img")
    assert image["alt"] == ODD
    assert str(image["src"]).startswith("data:image/png;base64,")
    anchors = [each["id"] for each in reader.attributes if each["tag"] == "section"]
    links = [str(each["href"]) for each in reader.attributes if each["tag"] == "a"]
    assert links == [f"#{anchor}" for anchor in anchors]
    assert "td.good" in "".join(reader.of("style"))


def test_a_heavy_picture_is_made_smaller_and_stays_beside_the_page(tmp_path: Path) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (400, 2000, 3), np.uint8)
    save_image(tmp_path / "a.png", noise)
    before = (tmp_path / "a.png").read_bytes()
    html = page("t", [], [Section("s", pictures=((tmp_path / "a.png", ""),))])
    (image,) = (each for each in Reader(html).attributes if each["tag"] == "img")
    start, _, data = str(image["src"]).partition(",")
    assert start == "data:image/jpeg;base64"
    assert open_image(base64.b64decode(data)).shape == (320, 1600, 3)
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        page("t", [], [Section("s", pictures=((tmp_path / "no.png", ""),))])
