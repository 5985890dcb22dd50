"""Measure how fast faces128 goes from seeds to scores, as a share of the processor's peak.

python benchmarks/pool.py
"""

from __future__ import annotations

import argparse

import timing
import torch

from latentedit import FaceEditor
from latentedit.boundaries.pool import for_many
from latentedit.io.images import to_tensor


@torch.inference_mode()
def measure_pool(count: int, *, rounds: int, peak: float) -> dict[str, dict[str, float]]:
    """Return faces per second and share of the peak, for each network and both together."""
    editor = for_many(FaceEditor.load("faces128", device="cpu"))
    z = editor.sample(range(count))
    images = editor.render(z)
    drawing = timing.count_flops(editor.generator, torch.from_numpy(z[:1]))
    judging = timing.count_flops(editor.classifier, to_tensor(images[:1]))
    seconds = timing.time_in_turn(
        {
            "generator": lambda: editor.render(z),
            "classifier": lambda: editor.score(images),
            "seeds to scores": lambda: editor.score(editor.render(editor.sample(range(count)))),
        },
        rounds,
    )
    flops = {"generator": drawing, "classifier": judging, "seeds to scores": drawing + judging}
    return {
        name: {
            "images_per_second": count / value,
            "of_peak": flops[name] * count / value / peak,
        }
        for name, value in seconds.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    peak = timing.measure_peak(torch.float32)
    print(f"peak of a convolution in float32: {peak / 1e9:.0f} Gflop/s")
    for name, figures in measure_pool(64, rounds=options.rounds, peak=peak).items():
        speed, share = figures["images_per_second"], figures["of_peak"]
        print(f"{name:16} {speed:8.1f} faces/s {share:6.0%} of the peak")


if __name__ == "__main__":
    main()
