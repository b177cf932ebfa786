"""Fitting: losses (equations 3-6, 8-11, 13, 14), both phases (Algorithms 1 and 2), the training loop, checkpoints."""
