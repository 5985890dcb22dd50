"""Training: discriminators, losses, loops and run folders. Only the command line imports it."""
