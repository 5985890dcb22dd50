"""Bundles of weights: on disk, with their cards, and on the Hugging Face Hub."""
