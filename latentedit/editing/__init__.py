"""Moving latents: discounted projection, recipes, the editor, film strips."""
