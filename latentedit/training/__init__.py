"""Training: data preparation, discriminators, losses, loops. Only the command line imports it."""
