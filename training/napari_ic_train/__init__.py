"""Fit the two-phase conditional adversarial autoencoder of "Building a 3D Integrated Cell"."""
