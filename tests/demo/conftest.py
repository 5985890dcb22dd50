"""A browser for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from page_needs import CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Modules that use it check first that it is here; see `page_needs`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # no sandbox: as root, in a container, Chromium has none
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()
