"""Write the tables of docs/portrait.md from the card of the shipped portrait network.

    python scripts/portrait_tables.py

Run it after `latentedit evaluate portrait --card`. Each table lies between two comments in the
page, ``<!-- NAME -->`` and ``<!-- end -->``. `tests/test_portrait_tables.py` checks them against
the card.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from latentedit.evaluation.classifiers.portrait import STRENGTHS
from latentedit.io.files import atomic_path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "portrait.md"
CARD = ROOT / "pretrained" / "portrait" / "portrait.json"

Report = Mapping[str, Any]


def flags_table(report: Report) -> str:
    """Return figures by quality: ours / the slides' network's, and the slides' own accuracy."""
    figures = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "ece")
    rows = []
    for name, row in report["qualities"].items():
        sides = [side for side in (row["ours"], row["baseline"]) if side]
        cells = [" / ".join(f"{side[key]:.3f}" for side in sides) for key in figures]
        epochs = report["baseline_epochs"].get(name, "none")
        slides = f"{100 * row['slides_accuracy']:.2f} %"
        rows.append((name, f"{row['ours']['n']:,}", f"{row['ours']['poor']:.2f}", *cells))
        rows[-1] += (str(epochs), slides)
    head = "quality,portraits,poor,accuracy,balanced accuracy,F1,ROC AUC,calibration error"
    return _table((*head.split(","), "epochs of the slides' network", "slides, on WFLW"), rows)


def order_table(report: Report) -> str:
    """Return rank correlations under growing degradation, by quality and kind."""
    rows = [
        (
            f"{quality}, {kind}",
            f"{row['spearman']:.2f}",
            f"{row['by_portrait']:.2f}",
            ", ".join(f"{score:.2f}" for score in row["mean_scores"]),
        )
        for quality, kinds in report["order"].items()
        for kind, row in kinds.items()
    ]
    strengths = ", ".join(f"{strength:g}" for strength in STRENGTHS)
    return _table(("", "over all", "within a face", f"mean scores at strength {strengths}"), rows)


def doubt_table(report: Report) -> str:
    """Return how often a guess is right where the verdict is `cannot tell`, and elsewhere."""
    figures = ("share", "right", "elsewhere")
    said = {"unsure": "score between 0.4 and 0.6", "blurred": "too blurred to say"}
    rows = [
        (
            f"{quality}, {said[kind]}",
            *(_percent(row[key]) for key in figures),
        )
        for quality, kinds in report["doubt"].items()
        for kind, row in kinds.items()
    ]
    return _table(("", "of the portraits", "right there", "right elsewhere"), rows)


TABLES: Mapping[str, Callable[[Report], str]] = {
    "flags": flags_table,
    "order": order_table,
    "doubt": doubt_table,
}


def filled(page: str, report: Report) -> str:
    """Return the page with every table made anew."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page, count = re.subn(
            pattern, lambda m, t=table: f"{m[1]}{t(report)}{m[2]}", page, flags=re.DOTALL
        )
        assert count == 1, f"docs/portrait.md needs one table <!-- {name} -->, has {count}"
    return page


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def main() -> None:
    """Rewrite the page."""
    report = json.loads(CARD.read_text(encoding="utf-8"))["figures"]
    page = filled(PAGE.read_text(encoding="utf-8"), report)
    with atomic_path(PAGE) as path:
        path.write_text(page, encoding="utf-8")
    print(f"{PAGE}: tables written from {CARD}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
