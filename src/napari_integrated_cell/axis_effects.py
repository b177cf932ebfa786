"""What a step along a latent axis does to a cell: sizes and shapes measured on decoded cells."""
