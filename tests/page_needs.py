"""What tests of the page need. Without it they skip; where the variable CI is set, they fail."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import NoReturn

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def lacking(*, browser: bool) -> str | None:
    """Say what is missing for the page, or for the page in a browser; None where all is there."""
    if find_spec("gradio") is None:
        return "Gradio is not installed: pip install 'latentedit[demo]'"
    if browser and find_spec("playwright") is None:
        return "Playwright is not installed: pip install 'latentedit[test]'"
    if browser and CHROMIUM is None:
        return "there is no Chromium: apt-get install chromium"
    return None


def give_up(why: str) -> NoReturn:
    """Skip a test or a whole module, or fail it where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why, allow_module_level=True)
