"""Dock Integrate structures: choose a cell and predict its structures."""
