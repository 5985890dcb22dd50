"""Boundaries: what they are, and how they are found from pools of latents."""

from latentedit.boundaries.calibration import Calibration
from latentedit.boundaries.model import Boundaries

__all__ = ["Boundaries", "Calibration"]
