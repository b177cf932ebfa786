"""Random numbers of draws in the latent spaces, the same on every device. Importing this module imports no torch."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Floats

Seed = int | np.random.SeedSequence
SHAPES = 0
"""Stream of the shapes z^r. The stream of a structure's z^s is 1 + its index in the model."""


def standard_normal(seed: Seed, stream: int, n: int, size: int) -> Floats:
    """Draw from N(0, I), (n, size).

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
    stream : int
        :data:`SHAPES`, or 1 + a structure's index. The numbers of a stream do not depend on the other streams.
    n, size : int
        Draws and dimensions. The first draws are the same for every ``n``.
    """
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    own = np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, stream))
    return np.random.default_rng(own).standard_normal((n, size), dtype=np.float32)
