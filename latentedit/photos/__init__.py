"""Photographs: read and written, their faces found and aligned, edits put back."""
