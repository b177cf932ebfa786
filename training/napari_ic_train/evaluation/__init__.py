"""Evaluate bundles: the experiments of the paper and additional ones, their measures, and the report."""
