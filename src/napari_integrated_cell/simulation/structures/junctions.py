"""Cell-cell junctions: desmosomes (desmoplakin) and tight junctions (ZO-1)."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances, bell, soft, thicken
from napari_integrated_cell.simulation.grid import Waves


def desmoplakin(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw puncta on the lateral membrane around mid-height."""
    f = anatomy.fields
    r = anatomy.stage.roundness
    z = anatomy.grid.axes[0]
    middle = bell(z - np.float32(0.55 * anatomy.shape.height), 0.16 * anatomy.shape.height)
    lateral = bell(f.sides - f.cell, 0.5) * bell(f.cell, 0.4)
    clusters = np.clip(1 + 0.6 * Waves(rng, 5.0).on(anatomy.grid), 0.05, None)
    places = anatomy.scatter(rng, middle * lateral * clusters, int(rng.integers(45, 80) * (1 - 0.4 * r)))
    for _ in range(2):  # onto the membrane
        around = anatomy.surroundings(places)
        places = places + (around.depth - 0.05)[:, None] * around.outward
    weight = np.repeat(rng.lognormal(0, 0.45, len(places)), 6) / 6
    spots = fields.grid.splat(thicken(rng, np.repeat(places, 6, axis=0), 0.12), weight)
    return 0.35 * spots + 0.012 * fields.cytoplasm


def zo1(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw a thin belt along the edge between the sides and the apex; spots along the rim if there is no belt."""
    uneven = np.clip(1 + 0.30 * Waves(rng, 4.0).on(fields.grid), 0.1, None)
    if not anatomy.shape.apical_belt:  # spots along the rim, where a neighbour may touch
        rim = fields.shell(fields.cell + 0.02, 0.16) * bell(np.minimum(np.abs(fields.sides), 3), 0.5)
        spots = np.clip(Waves(rng, 3.0).on(fields.grid), 0, None)
        return rim * spots + 0.02 * fields.cytoplasm
    edge = bell(fields.sides - fields.top - np.float32(0.4), 0.55)
    belt = (
        fields.shell(fields.cell + 0.02, 0.16)
        * edge
        * soft(np.broadcast_to(fields.grid.axes[0], fields.grid.shape) - 2.0, 1.0)
    )
    return belt * uneven + 0.006 * fields.cytoplasm
