"""Methods of latent editing, compared where they have the same effect on their target."""
