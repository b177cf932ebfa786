"""Traversals of the latent space of cell shape: paths, decoded frames, movies and files."""
