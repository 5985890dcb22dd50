"""What edits do: traces, effects, holds, safe ranges, ages."""
