"""Figures in docs/portrait.md are those of the shipped network's card."""

from __future__ import annotations

import json

import portrait_tables as tables


def test_the_page_says_what_the_card_says() -> None:
    report = json.loads(tables.CARD.read_text(encoding="utf-8"))["figures"]
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.filled(page, report) == page, "run 'python scripts/portrait_tables.py'"
    first = report["qualities"]["blur"]["ours"]["accuracy"]
    report["qualities"]["blur"]["ours"]["accuracy"] = first - 0.1
    other = tables.filled(page, report)
    assert f"{first - 0.1:.3f}" in other
    assert len(other) == len(page)
    assert other != page
