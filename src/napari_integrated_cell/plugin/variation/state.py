"""State of the dock "Structure variation"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.model.conditional_prior import DrawFrom
from napari_integrated_cell.plugin.signals import field_signals

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.layers.place import Place
    from napari_integrated_cell.variation.structure_variation import Draws, StructureVariation

CELL, POSITION = "cell", "position"
"""The shape to draw structures in: that of the active cell, or that of the position in the latent space."""

MEAN, DEVIATION, DRAW = "mean", "deviation", "draw"
"""What the layers show of a structure."""


@dataclass(frozen=True)
class VariationRequest:
    """Settings of the variation dock: what to measure, and what to show of the result.

    Attributes
    ----------
    subject : {"cell", "position"}
        The shape to draw structures in.
    structures : tuple of str, or None
        The structures to draw; None for all that the model knows.
    n : int
        Draws of each structure.
    draw_from : {"prior", "conditional", "observed"}, optional
        Where draws are from; None for what the model has: p(z^s | z^r, y), or else the prior.
    looked_at : str
        The structure that is shown; empty before the first is measured.
    draw : int
        The number of its draw that is shown.
    shown : frozenset of str
        What is shown of it: any of ``"mean"``, ``"deviation"`` and ``"draw"``.
    """

    subject: str = CELL
    structures: tuple[str, ...] | None = None
    n: int = 100
    draw_from: DrawFrom | None = None
    looked_at: str = ""
    draw: int = 0
    shown: frozenset[str] = frozenset({MEAN, DEVIATION})


@dataclass(frozen=True, eq=False)
class VariedShape:
    """The shape that structures were drawn in, and where it lies.

    Attributes
    ----------
    name : str
        Its name in the window.
    z_ref : array of float32, (n_ref,)
    compared_in : array of float32, (Z, Y, X)
        The cell in the model's box. Draws are compared inside it.
    masked : bool
        Whether the layers are masked by it: the outline of a segmented cell is known, that of a decoded cell is not.
    seed : int
        Random seed of the draws.
    draw_from : {"prior", "conditional", "observed"}, optional
        Where draws are from; None for what the model has.
    """

    name: str
    model: IntegratedCell
    z_ref: Floats
    compared_in: Floats
    masked: bool
    place: Place
    seed: int = 0
    draw_from: DrawFrom | None = None

    def draws_of(self, structure: str) -> Draws:
        """Return the draws of one structure, each of which can be decoded again."""
        from napari_integrated_cell.variation.structure_variation import Draws

        return Draws(self.model, self.z_ref, structure, self.seed, self.draw_from)

    def as_shown(self, volume: Floats) -> Floats:
        """Return a volume (Z, Y, X) as its layer shows it."""
        return volume * self.compared_in if self.masked else volume

    def is_of(self, other: VariedShape | None) -> bool:
        """Return whether draws in the other shape are the same as draws in this one."""
        return (
            other is not None
            and self.model is other.model
            and self.seed == other.seed
            and self.draw_from == other.draw_from
            and np.array_equal(self.z_ref, other.z_ref)
            and np.array_equal(self.compared_in, other.compared_in)
        )


@dataclass(eq=False)
class VariationState:
    """What to measure and what was measured. ``events`` has a signal for each field.

    Attributes
    ----------
    request : VariationRequest
        What to measure, and what of it to show.
    shape : VariedShape or None
        The shape that structures were drawn in last.
    found : mapping of str to StructureVariation
        What Algorithm 4 found for this shape, by structure.
    """

    events: ClassVar = field_signals("shape", "found")

    request: VariationRequest = field(default_factory=VariationRequest)
    shape: VariedShape | None = None
    found: Mapping[str, StructureVariation] = field(default_factory=dict)

    def leave_model(self) -> None:
        """Drop all state of the closed model."""
        self.shape = None
        if self.found:
            self.found = {}
