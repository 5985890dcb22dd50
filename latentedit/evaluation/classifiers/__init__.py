"""Measuring the networks that look at faces."""
