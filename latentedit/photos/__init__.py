"""Faces in photographs: found and aligned."""
