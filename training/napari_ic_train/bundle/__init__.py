"""Make a bundle of a finished run, with landmarks, latent statistics, cells and variation."""
