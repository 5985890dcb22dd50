"""Files, pictures and films on disk: written whole or not at all, read with care."""
