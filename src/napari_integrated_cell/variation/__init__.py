"""How much each structure varies for a given cell shape (Algorithm 4)."""
