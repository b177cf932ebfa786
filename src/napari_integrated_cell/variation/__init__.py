"""How much a structure varies in one cell shape: Algorithm 4 and the correlations it needs."""
