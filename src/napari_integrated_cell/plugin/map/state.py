"""State of the dock "Cell map"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from napari_integrated_cell.latent.population import Population
from napari_integrated_cell.latent.projection import SHAPE, Projection
from napari_integrated_cell.plugin.signals import field_signals

PRINCIPAL, UMAP = "principal axes", "UMAP"


@dataclass(frozen=True)
class MapView:
    """How the map shows the population, and which of its cells are selected.

    Attributes
    ----------
    space : str
        ``"z_ref"``, or the structure whose z^s is shown.
    layout : {"principal axes", "UMAP"}
        How cells are laid out in the plane.
    axes : tuple of int
        The two principal axes of the plane.
    colour : str
        The column of the cells' table that gives their colours.
    selection : tuple of int
        The selected cells of the population.
    part : tuple of float, optional
        The part of the plane that was seen when the dock was closed: left, bottom, right, top. None: all of it.
    """

    space: str = SHAPE
    layout: str = PRINCIPAL
    axes: tuple[int, int] = (0, 1)
    colour: str = "stage"
    selection: tuple[int, ...] = ()
    part: tuple[float, float, float, float] | None = None


@dataclass(eq=False)
class MapState:
    """The cells on the map, and how they are shown. ``events`` has a signal for each field.

    Attributes
    ----------
    population : Population or None
        Cells in the latent spaces.
    projection : Projection or None
        The population in the plane of the map.
    view : MapView
        How the population is shown, and which of its cells are selected.
    umaps : dict of str to Projection
        The population's UMAP layouts so far, by space. A layout takes a minute. It has no signal.
    """

    events: ClassVar = field_signals("population", "projection")

    population: Population | None = None
    projection: Projection | None = None
    view: MapView = field(default_factory=MapView)

    def __post_init__(self) -> None:
        self.umaps: dict[str, Projection] = {}

    def leave_model(self) -> None:
        """Drop all state of the closed model."""
        self.umaps = {}
        self.population = self.projection = None
        self.view = MapView()
