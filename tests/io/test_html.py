"""HTML from templates: escaped, complete, and of the package that asks."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateNotFound, UndefinedError

from latentedit.io.html import asset, data_uri, render

DEMO = "latentedit.demo"


@given(st.text(alphabet=st.sampled_from("<>&\"'{}% ab"), max_size=30))
def test_values_are_escaped(text: str) -> None:
    inside = render(DEMO, "message.html.jinja", message=text)[len("<p>") : -len("</p>\n")]
    assert not {*"<>\"'"} & {*inside}
    assert inside.count("&") == inside.count(";")


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="message"):
        render(DEMO, "message.html.jinja")
    with pytest.raises(TemplateNotFound):
        render("latentedit.portrait", "message.html.jinja")


def test_an_asset_comes_as_it_is() -> None:
    assert asset(DEMO, "message.html.jinja") == "<p>{{ message }}</p>\n"


def test_a_picture_travels_in_its_address() -> None:
    start, _, data = data_uri(b"png\xff").partition(",")
    assert start == "data:image/png;base64"
    assert base64.b64decode(data) == b"png\xff"
