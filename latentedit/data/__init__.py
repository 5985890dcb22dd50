"""Data sets of faces, read as they ship and packed for training."""
