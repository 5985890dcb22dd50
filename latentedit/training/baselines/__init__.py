"""The slides' networks and other baselines, trained for comparison."""
