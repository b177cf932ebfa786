"""From a finished run to a bundle, with landmarks, latent statistics, cells and variation."""
