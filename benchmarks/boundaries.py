"""Measure how fast boundaries are found: all 40, and one against scikit-learn's SVMs.

python benchmarks/boundaries.py --json bench.json             # planted latents
python benchmarks/boundaries.py --pool runs/pool --attr Young  # a pool's own
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC, LinearSVC

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.finder import BoundaryFinder
from latentedit.boundaries.fitting import fit_boundaries
from latentedit.boundaries.pool import Pool
from latentedit.generators.latents import normalize

Array = NDArray[np.float32]


def planted(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Latents [N, 512] and 40 probabilities that follow planted directions, with noise."""
    random = np.random.default_rng(seed)
    z = normalize(random.standard_normal((count, 512), dtype=np.float32))
    normals = random.standard_normal((512, len(ATTRIBUTES)), dtype=np.float32) / np.sqrt(512)
    shift = np.linspace(-2.5, 1.0, len(ATTRIBUTES), dtype=np.float32)
    noise = random.normal(0, 0.6, (count, len(ATTRIBUTES))).astype(np.float32)
    return z, 1 / (1 + np.exp(-3 * (z @ normals + noise + shift)))


def compare(z: Array, scores: Array, samples: int, repeats: int) -> dict[str, Any]:
    """Compare BoundaryFinder and scikit-learn's linear SVMs on the same samples of one attribute.

    The samples are the most confident ones of all but the last fifth, half of each class. All
    boundaries are judged on that fifth; the truth there is whether a score is above the median.
    """
    held_out = len(z) // 5
    order = np.argsort(scores[:-held_out], kind="stable")
    rows = np.concatenate((order[: samples // 2], order[-samples // 2 :]))
    labels = np.repeat((False, True), samples // 2)
    truth = scores[-held_out:] > np.median(scores)

    def measured(make: Callable[[], Any], times: int) -> dict[str, float]:
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            model = make().fit(z[rows], labels)
            seconds.append(time.perf_counter() - start)
        accuracy = float(((model.decision_function(z[-held_out:]) > 0) == truth).mean())
        return {"seconds": float(np.median(seconds)), "accuracy": accuracy}

    BoundaryFinder().fit(z[rows][::50], labels[::50])  # warm up: loads what is loaded once
    ours = measured(BoundaryFinder, repeats)
    others = {
        'SVC(kernel="linear")': measured(lambda: SVC(kernel="linear"), 1),
        "LinearSVC": measured(LinearSVC, 1),
    }
    for other in others.values():
        other["times_slower"] = other["seconds"] / ours["seconds"]
    return {"samples": samples, "held_out": held_out, "BoundaryFinder": ours, "others": others}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=Path, help="measure on a pool, not on planted latents")
    parser.add_argument("--attr", default="Young", help="attribute to compare")
    parser.add_argument("--n", type=int, default=100_000, help="planted latents")
    parser.add_argument("--samples", type=int, default=10_000, help="samples to compare on")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.pool:
        pool = Pool(options.pool)
        z, scores = pool.load()
        names = pool.attributes
    else:
        z, scores = planted(options.n)
        names = ATTRIBUTES
    start = time.perf_counter()
    found = fit_boundaries(z, scores, names, "benchmark")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB -> GiB
    report = {
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "cores": len(os.sched_getaffinity(0)),
        "all": {
            "attributes": len(found.names),
            "latents": list(z.shape),
            "seconds": seconds,
            "peak_gib": peak,
        },
        "one": compare(z, scores[:, names.index(options.attr)], options.samples, options.repeats),
    }
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
