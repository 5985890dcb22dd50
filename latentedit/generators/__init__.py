"""Networks that turn latents into pictures, one file each, and the latents themselves."""
