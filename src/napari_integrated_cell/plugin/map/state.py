"""How the user looks at a population: what the session keeps of the map. No widgets."""

from __future__ import annotations

from dataclasses import dataclass

from napari_integrated_cell.latent.projection import SHAPE

PRINCIPAL, UMAP = "principal axes", "UMAP"


@dataclass(frozen=True)
class MapView:
    """What the map shows, and how.

    Attributes
    ----------
    space : str
        ``"z_ref"``, or the structure whose z^s is shown.
    layout : {"principal axes", "UMAP"}
        How cells are laid out in the plane.
    axes : tuple of int
        Which two of the principal axes.
    colour : str
        The column that colours the cells.
    selection : tuple of int
        Which cells of the population are selected.
    part : tuple of float, optional
        The part of the plane that was seen when the dock was closed: left, bottom, right, top. None: all of it.
    """

    space: str = SHAPE
    layout: str = PRINCIPAL
    axes: tuple[int, int] = (0, 1)
    colour: str = "stage"
    selection: tuple[int, ...] = ()
    part: tuple[float, float, float, float] | None = None
