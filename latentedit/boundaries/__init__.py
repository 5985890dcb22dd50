"""Boundaries: what they are, and how they are found from pools of latents."""

from latentedit.boundaries.model import Boundaries, Calibration

__all__ = ["Boundaries", "Calibration"]
