"""How the user explores the latent spaces: which axes, which of them are held fast, what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_integrated_cell.latent.axis_effects import AxisEffect
    from napari_integrated_cell.latent.position import Position

SHAPE = "z_ref"
"""The space of cell and nuclear shapes; the others go by the structure's name."""

Basis = tuple[str, bool]
"""A space, and whether its principal axes are meant or its dimensions as they are."""


@dataclass(frozen=True)
class Exploration:
    """What the dock shows and holds fast.

    Attributes
    ----------
    origin : str
        Where to start from next, as :func:`~.exploring.start_from` takes it; empty before the user has said.
    space : str
        :data:`SHAPE`, or the structure whose z^s is explored.
    principal : bool
        Along principal axes, or along raw dimensions.
    count : int
        How many sliders are shown.
    query : str
        Which axes to show, as :meth:`~napari_integrated_cell.latent.axes.LatentAxes.found` takes it.
    locked : mapping of (str, bool) to frozenset of int
        The axes that chance leaves alone, by space and kind of axes.
    walking : bool
        Whether the position walks by itself.
    difference : str
        The channel whose difference to the start is shown; none where it is empty.
    effects : bool
        Whether it is shown what changes along each axis.
    measured : mapping of (str, bool, int) to AxisEffect
        What changes, by space, kind of axes and axis.
    measured_from : Position or None
        The position through which those axes were followed.
    kept : tuple of Position
        Positions with names, as a table holds them.
    """

    origin: str = ""
    space: str = SHAPE
    principal: bool = True
    count: int = 8
    query: str = ""
    locked: Mapping[Basis, frozenset[int]] = field(default_factory=dict)
    walking: bool = False
    difference: str = ""
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
        """Those of them that are locked."""
        return self.locked.get(self.basis, frozenset())

    def with_another_model(self) -> Exploration:
        """What remains when the latent spaces are others: how many sliders there are, and of which kind."""
        kept = Exploration(principal=self.principal, count=self.count, effects=self.effects)
        return self if self == kept else kept
