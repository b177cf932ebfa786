"""Dock Structure variation: how much each structure varies in one cell shape."""
