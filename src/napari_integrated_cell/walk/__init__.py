"""Walks through the latent space of cell shape: paths, decoded frames, films and files."""
