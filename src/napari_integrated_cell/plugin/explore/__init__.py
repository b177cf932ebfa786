"""Dock Latent explorer: move through the latent spaces with sliders."""
