"""A page test without a browser: skipped on a desk, a failure in CI."""

from __future__ import annotations

import page_needs
import pytest


@pytest.mark.parametrize(("ci", "outcome"), [("1", pytest.fail), ("", pytest.skip)])
def test_what_lacks_a_need_fails_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome.Exception, match="no Chromium"):
        page_needs.give_up("there is no Chromium")


def test_each_need_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"gradio", "playwright"}
    monkeypatch.setattr(page_needs, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr(page_needs, "CHROMIUM", "/usr/bin/chromium")
    assert page_needs.lacking(browser=True) is None
    monkeypatch.setattr(page_needs, "CHROMIUM", None)
    assert "Chromium" in (page_needs.lacking(browser=True) or "")
    there.remove("playwright")
    assert "Playwright" in (page_needs.lacking(browser=True) or "")
    assert page_needs.lacking(browser=False) is None
    there.remove("gradio")
    assert "Gradio" in (page_needs.lacking(browser=False) or "")
