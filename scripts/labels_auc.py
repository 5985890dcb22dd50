"""Measure held-out AUC by number of labels: seeds at random, or as `label-seeds` chooses them.

    python scripts/labels_auc.py POOL [--model ffhq1024] [--json FILE]

A pool's scores stand for a person who never makes a mistake: a probability above 0.5 is a yes.
Labels are fitted as `boundaries fit --scores` fits them, and judged on the pool's last latents.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from latentedit.boundaries import fitting
from latentedit.boundaries.choosing import BLOCK, Answer, Chooser
from latentedit.boundaries.labels import for_fitting
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import Pool
from latentedit.boundaries.whitening import Whitening
from latentedit.io.files import write_json
from latentedit.pretrained.bundles import find_bundle
from latentedit.pretrained.model import BOUNDARIES_FILE

ATTRIBUTES = ("Smiling", "Young", "Bangs", "Eyeglasses", "Wearing_Hat")
COUNTS = (50, 100, 200, 500, 1000, 2000)
HELD_OUT = 5000
CANDIDATES = 10_000

fitting.MIN_POOL = 50  # the command asks for 500


def answer(chooser: Chooser, has: NDArray[np.bool_], count: int) -> list[Answer]:
    """Label `count` faces in the order in which the chooser gives them."""
    answers: list[Answer] = []
    while len(answers) < count:
        for face in chooser.upcoming(answers)[:BLOCK]:  # a whole block
            answers.append(Answer(face.seed, bool(has[face.seed]), face.chosen))
    return answers


def auc(
    latents: NDArray[np.float32],
    has: NDArray[np.bool_],
    answers: Sequence[Answer],
    whitening: Whitening | None,
    space: str,
) -> float:
    """Fit as the command does; return the ROC AUC on the pool's last `HELD_OUT` latents."""
    ordered = for_fitting(answers)
    values = np.array([[item.value] for item in ordered], np.float32)
    if values.min() == values.max():
        return 0.5  # the command refuses labels of one kind
    found = fitting.fit_boundaries(
        latents[[item.seed for item in ordered]],
        values,
        ["own"],
        "",
        space=space,
        whitening=whitening,
    )
    return float(roc_auc_score(has[-HELD_OUT:], found.distances(latents[-HELD_OUT:])[:, 0]))


def measure(
    pool: Pool, whitening: Whitening | None, names: Sequence[str], seeds: int
) -> list[dict[str, Any]]:
    """Return and print a row for each attribute and way of choosing."""
    latents, scores = pool.load()
    rows = []
    for name in names:
        has = scores[:, pool.attributes.index(name)] > 0.5
        for active in (False, True):
            figures, kinds = [], []
            for seed in range(seeds):
                order = np.random.RandomState(seed).permutation(len(latents) - HELD_OUT)
                order = np.append(order, np.arange(len(latents) - HELD_OUT, len(latents)))
                z, own = latents[order], has[order]
                chooser = Chooser(
                    lambda seeds, z=z: z[np.asarray(seeds)],
                    range(CANDIDATES, len(z) - HELD_OUT),
                    range(CANDIDATES),
                    whitening=whitening,
                    active=active,
                )
                answers = answer(chooser, own, COUNTS[-1])
                figures.append(
                    [auc(z, own, answers[:count], whitening, pool.space) for count in COUNTS]
                )
                kinds.append([sum(bool(a.value) for a in answers[:count]) for count in COUNTS])
            row = {
                "attribute": name,
                "share": round(float(has.mean()), 4),
                "order": "active" if active else "random",
                "auc": np.mean(figures, 0).round(4).tolist(),
                "spread": np.std(figures, 0).round(4).tolist(),
                "with it": np.mean(kinds, 0).round(1).tolist(),
            }
            rows.append(row)
            print(
                f"| {name} | {row['share']:.1%} | {row['order']} | "
                + " | ".join(f"{value:.3f}" for value in row["auc"])
                + " |",
                row["with it"],
                flush=True,
            )
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--model", default="ffhq1024")
    parser.add_argument("--attr", action="append", help="by default five")
    parser.add_argument("--seeds", type=int, default=3, help="orders that are averaged")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    whitening = Boundaries.load(find_bundle(options.model) / BOUNDARIES_FILE).whitening
    rows = measure(Pool(options.pool), whitening, options.attr or ATTRIBUTES, options.seeds)
    if options.json:
        write_json(options.json, {"labels": COUNTS, "rows": rows})


if __name__ == "__main__":
    main()
