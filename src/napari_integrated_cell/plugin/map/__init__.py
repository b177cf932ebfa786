"""Dock Cell map: a population of cells in the plane of two latent axes."""
