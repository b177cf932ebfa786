"""The cell at the current latent position, decoded in the background and shown as layers."""
