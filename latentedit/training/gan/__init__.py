"""Training of the progressive GAN."""
