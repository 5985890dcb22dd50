"""Small copies of generator runs, to be published; training can go on from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path, make_folder, write_json
from latentedit.training.runs import Run, choose_average, read_generator_options
from latentedit.training.state import (
    ALONE,
    average_name,
    check_whole,
    factor,
    is_average,
    read_state,
    write_state,
)

_QUEUES = ("objective.sliced.", "objective.sliced_people.")
"""Prefixes of tensors that only remember features of the last few hundred faces."""


def pack_run(
    run_folder: str | Path, output: str | Path, ema_kimg: float | None = None
) -> tuple[float, int]:
    """Write a smaller copy of a run; training can go on from it, but not exactly the same.

    Networks become float16. Only one average of the generator is kept, and the generator begins
    again from it. First moments are left out: where they matter, some ten steps make them anew. Of
    second moments only the means of rows and columns are kept (Shazeer & Stern 2018,
    Adafactor); a few hundred steps replace them.

    Args:
        run_folder: a generator's run.
        output: the folder to write: state, options and log.
        ema_kimg: half-life of the average to keep; the run's first by default.

    Returns:
        the half-life kept, and the state's size in bytes.

    Raises:
        LatentEditError: not a generator's run, no state or no generator in it, no such average, or
            `output` holds a run or cannot be written.
    """
    run, kept, progress, whole = _open(run_folder, output)
    check_whole(progress, run.folder)
    ema_kimg = choose_average(run, ema_kimg)
    tensors = {}
    for key, value in whole.items():
        name, _, slot = key.partition(".")
        if slot.endswith(".exp_avg_sq") and value.dim() > 1:
            tensors[f"{key}_rows"], tensors[f"{key}_columns"] = factor(value)
        elif name.endswith("optimizer"):
            if not slot.endswith((".exp_avg", ".momentum_buffer")):
                tensors[key] = value
        elif name == average_name(ema_kimg) or not (name == "generator" or is_average(name)):
            tensors[key] = _halved(value)
    return ema_kimg, _write(run, kept, tensors, progress, {"ema_kimg": [ema_kimg]})


def pack_discriminators(run_folder: str | Path, output: str | Path) -> int:
    """Write a run's discriminators; another run can start from them and a bundle's generator.

    They become float16. Features of the last few hundred faces, which they remember, are left out.

    Args:
        run_folder: a generator's run.
        output: the folder to write: state, options and log.

    Returns:
        the state's size in bytes.

    Raises:
        LatentEditError: not a generator's run, no state in it yet, or `output` holds a run or
            cannot be written.
    """
    run, kept, progress, whole = _open(run_folder, output)
    tensors = {
        key: _halved(value)
        for key, value in whole.items()
        if key.startswith("objective.") and not key.startswith(_QUEUES)
    }
    return _write(run, kept, tensors, {**progress, ALONE: True}, {})


def _open(
    run_folder: str | Path, output: str | Path
) -> tuple[Run, Run, dict[str, Any], dict[str, Tensor]]:
    """Return the run, the copy to write, and the run's progress and tensors."""
    run, kept = Run(run_folder), Run(output)
    read_generator_options(run)
    if not run.state.exists():
        raise LatentEditError(f"{run_folder} has saved no state yet: train it first")
    if kept.state.exists():
        raise LatentEditError(f"{output} holds a run already: choose another folder")
    return run, kept, *read_state(run.state)


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _write(
    run: Run,
    kept: Run,
    tensors: Mapping[str, Tensor],
    progress: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> int:
    """Write a copy with these changes of its options; return its state's size in bytes."""
    entries = run.read_options()
    entries["options"] |= changes
    make_folder(kept.folder)
    with atomic_path(kept.log) as temporary:
        temporary.write_bytes(run.log.read_bytes() if run.log.exists() else b"")
    write_json(kept.options, entries)
    write_state(kept.state, tensors, progress)  # last: a folder with a state is a whole run
    return kept.state.stat().st_size
