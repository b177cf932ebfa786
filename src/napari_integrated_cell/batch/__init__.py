"""Integrate every cell of a folder or of a table, and write one table of results."""
