"""Integrated cells: where eleven organelles most probably lie in a given cell."""
