"""The eleven structures, each with its own rule for a given shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances
from napari_integrated_cell.simulation.structures import filaments, junctions, nuclear, organelles
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES, structure

Rule = Callable[[Anatomy, Distances, np.random.Generator], Floats]

RULES: dict[str, Rule] = {
    "alpha-actinin": filaments.alpha_actinin,
    "alpha-tubulin": filaments.alpha_tubulin,
    "beta-actin": filaments.beta_actin,
    "desmoplakin": junctions.desmoplakin,
    "fibrillarin": nuclear.fibrillarin,
    "lamin-B1": nuclear.lamin_b1,
    "myosin-IIB": filaments.myosin_iib,
    "ST6GAL1": organelles.st6gal1,
    "Sec61-beta": organelles.sec61_beta,
    "TOM20": organelles.tom20,
    "ZO1": junctions.zo1,
}
assert tuple(RULES) == STRUCTURE_NAMES


def draw_structure(name: str, anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw a structure's density (Z, Y, X) in the cell, without the microscope's blur.

    Raises
    ------
    ValueError
        If no structure has that name.
    """
    return np.maximum(RULES[structure(name).name](anatomy, fields, rng), 0).astype(np.float32)


__all__ = ["RULES", "Rule", "draw_structure"]
