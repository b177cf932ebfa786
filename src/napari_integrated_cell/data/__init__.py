"""Tables and stores of cells: one reader for every layout."""
