"""Latent spaces: positions, axes and their effects, populations of embedded cells, and their map."""
