"""Networks that look at faces, one file each."""
