"""Docks and their parts: each draws the session and calls verbs on it; two never talk to each other."""
