"""Measure a model on folders of real cells: where it predicts structures, and what it takes real light for."""
