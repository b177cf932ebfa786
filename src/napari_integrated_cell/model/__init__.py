"""The model: configuration, networks (Tables S1-S8), bundle and latent statistics."""
