"""State of the dock "Latent explorer"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

from napari_integrated_cell.latent.axis_effects import AxisEffect
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.latent.projection import SHAPE
from napari_integrated_cell.plugin.signals import field_signals

Basis = tuple[str, bool]
"""A space, and whether its axes are the principal ones or the raw dimensions."""


@dataclass(eq=False)
class ExploreState:
    """The axes that the user explores, and the positions that they keep. ``events`` has a signal for each field.

    Attributes
    ----------
    origin : str
        Where to start from next, as :func:`~.actions.start_from` takes it; empty before the user chooses.
    space : str
        ``"z_ref"``, or the structure whose z^s is explored.
    principal : bool
        Whether the axes are the principal ones, or the raw dimensions.
    count : int
        Number of sliders.
    query : str
        Which axes to show, as :meth:`~napari_integrated_cell.latent.axes.LatentAxes.found` takes it.
    locked : mapping of (str, bool) to frozenset of int
        The axes that random draws and walks do not change, by space and kind of axes.
    walking : bool
        Whether the random walk runs.
    effects : bool
        Whether the dock shows what changes along each axis.
    measured : mapping of (str, bool, int) to AxisEffect
        What changes, by space, kind of axes and axis.
    measured_from : Position or None
        The position through which those axes were followed.
    kept : tuple of Position
        Positions with names, as a table holds them.
    """

    events: ClassVar = field_signals("measured", "measured_from", "kept")

    origin: str = ""
    space: str = SHAPE
    principal: bool = True
    count: int = 8
    query: str = ""
    locked: Mapping[Basis, frozenset[int]] = field(default_factory=dict)
    walking: bool = False
    effects: bool = False
    measured: Mapping[tuple[str, bool, int], AxisEffect] = field(default_factory=dict)
    measured_from: Position | None = None
    kept: tuple[Position, ...] = ()

    @property
    def basis(self) -> Basis:
        """The axes that are explored."""
        return self.space, self.principal

    @property
    def held(self) -> frozenset[int]:
        """The explored axes that are locked."""
        return self.locked.get(self.basis, frozenset())

    def leave_model(self) -> None:
        """Drop all state of the closed model. The kind and the number of sliders stay."""
        new = ExploreState(principal=self.principal, count=self.count, effects=self.effects)
        for each in fields(self):
            setattr(self, each.name, getattr(new, each.name))
