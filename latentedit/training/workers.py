"""Training on several processes (``accelerate launch``), or on one.

Every process draws the same random numbers for the whole batch and works on its share of the rows.
Gradients are averaged before each step, so the weights stay equal everywhere. With the same whole
batch, a run on two processes computes the same as a run on one, except for what a process computes
from its share alone: statistics of a batch, random changes of faces, queues of the sliced distance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch

from latentedit.errors import LatentEditError
from latentedit.inference.devices import keep_memory, pick_device
from latentedit.io.launch import launch

Rows = TypeVar("Rows")


class Workers:
    """This process, one of all that train together; from now on it keeps freed memory.

    Args:
        device: auto, cpu, cuda, mps; several processes choose their own GPU under ``auto``.

    Raises:
        LatentEditError: several processes were launched and Accelerate is missing.
    """

    def __init__(self, device: str = "auto") -> None:
        keep_memory()
        self.count = launch().world_size
        if self.count == 1:
            self.rank = 0
            self.device = pick_device(device)
            if self.device.index is not None:  # CUDA streams belong to the current GPU
                torch.cuda.set_device(self.device)
            return
        try:
            from accelerate import Accelerator
        except ImportError:
            raise LatentEditError(
                "several processes need an extra: pip install 'latentedit[train]'"
            ) from None
        # without `cpu`, processes on a machine without a GPU would not find each other
        self._accelerator = Accelerator(cpu=pick_device(device).type == "cpu")
        self.rank = self._accelerator.process_index
        self.device = self._accelerator.device

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def share(self, rows: Rows) -> Rows:
        """Return this process's rows of a whole batch (an array or a tensor)."""
        return rows[self.rank :: self.count]  # type: ignore[index]

    def average_gradients(self, weights: Iterable[torch.Tensor]) -> None:
        """Replace every gradient by its mean over the processes, in one exchange."""
        if self.count == 1:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat = self._reduce(flat)
        for gradient, mean in zip(
            gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def average(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of a tensor over the processes."""
        return value if self.count == 1 else self._reduce(value)

    def mean(self, value: float) -> float:
        """Return the mean of a figure over the processes."""
        if self.count == 1:
            return value
        return float(self._reduce(torch.tensor(value, device=self.device)))

    def any(self, here: bool) -> bool:
        """Whether `here` is true in at least one process, so that all processes act alike."""
        return here if self.count == 1 else self.mean(float(here)) > 0

    def wait(self) -> None:
        """Wait until every process has come to this point."""
        if self.count > 1:
            self._accelerator.wait_for_everyone()

    def _reduce(self, value: torch.Tensor) -> Any:
        return self._accelerator.reduce(value, "mean")


def check_batch(batch_size: int) -> None:
    """Refuse a batch that the launched processes cannot share equally.

    Raises:
        LatentEditError: `batch_size` is no multiple of the number of processes.
    """
    count = launch().world_size
    if batch_size % count:
        raise LatentEditError(
            f"a batch of {batch_size} cannot be shared by {count} processes: "
            f"set batch_size to a multiple of {count}"
        )
