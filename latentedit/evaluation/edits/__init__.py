"""What edits do: traces, effects, locks, safe ranges, ages."""
