"""What the user wants to know of how much structures vary: in which shape, of which structures, how exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.layers.place import Place
    from napari_integrated_cell.variation.structure_variation import Draws, StructureVariation

CELL, POSITION = "cell", "position"
"""Whose shape: the active cell's, or that of the position in the latent space."""

MEAN, DEVIATION, DRAW = "mean", "deviation", "draw"
"""What is shown of one structure."""


@dataclass(frozen=True)
class Doubt:
    """What to measure, and what of it to look at.

    Attributes
    ----------
    subject : {"cell", "position"}
        Whose shape structures are drawn in.
    structures : tuple of str, or None
        Which; None for all that the model knows.
    n : int
        Draws of each.
    looked_at : str
        The structure that is shown; empty before there is one.
    draw : int
        Which of its draws.
    shown : frozenset of str
        What is shown of it: any of ``"mean"``, ``"deviation"`` and ``"draw"``.
    """

    subject: str = CELL
    structures: tuple[str, ...] | None = None
    n: int = 100
    looked_at: str = ""
    draw: int = 0
    shown: frozenset[str] = frozenset({MEAN, DEVIATION})


@dataclass(frozen=True, eq=False)
class Varied:
    """The shape that structures were drawn in, and where it lies.

    Attributes
    ----------
    name : str
        What the user calls it.
    model : IntegratedCell
    z_ref : array of float32, (n_ref,)
    compared_in : array of float32, (Z, Y, X)
        The cell in the model's box, where draws are compared.
    masked : bool
        Whether what is shown is masked by it: a segmented cell's outline is known, a decoded cell's is not.
    place : Place
    seed : int
        Of the draws.
    """

    name: str
    model: IntegratedCell
    z_ref: NDArray[np.float32]
    compared_in: NDArray[np.float32]
    masked: bool
    place: Place
    seed: int = 0

    def draws_of(self, structure: str) -> Draws:
        """The draws of one structure, to be made again one by one."""
        from napari_integrated_cell.variation.structure_variation import Draws

        return Draws(self.model, self.z_ref, structure, self.seed)

    def as_shown(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """A volume (Z, Y, X) as it is shown."""
        return volume * self.compared_in if self.masked else volume

    def is_of(self, other: Varied | None) -> bool:
        """Whether draws in the other's shape are these."""
        return (
            other is not None
            and self.model is other.model
            and self.seed == other.seed
            and np.array_equal(self.z_ref, other.z_ref)
            and np.array_equal(self.compared_in, other.compared_in)
        )


Found = Mapping[str, "StructureVariation"]
"""Variations by structure."""
