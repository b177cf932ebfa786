"""Dock Mitosis traversal: plan, play and export a walk through the stages of mitosis."""
