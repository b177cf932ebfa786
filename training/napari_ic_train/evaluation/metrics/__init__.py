"""Measures of the evaluation report, as functions of arrays. They need no model, no store and no torch."""
