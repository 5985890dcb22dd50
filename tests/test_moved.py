"""Imports by the names that modules had before they moved."""

from __future__ import annotations

from importlib import import_module

import pytest

from latentedit.moved import HOMES


def test_what_was_together_is_found_in_its_new_homes() -> None:
    from latentedit.adapters import OnnxGenerator, adapt

    assert adapt is import_module("latentedit.generators.adapters").adapt
    assert OnnxGenerator is import_module("latentedit.generators.onnx").OnnxGenerator


@pytest.mark.parametrize("name", HOMES)
def test_what_was_never_there(name: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = import_module(name).nothing
