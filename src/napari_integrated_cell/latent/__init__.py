"""Latent spaces: positions, axes, populations of cells, and how cells are embedded and projected."""
