"""How right the networks that look at faces are."""
