"""How well a generator draws faces."""
