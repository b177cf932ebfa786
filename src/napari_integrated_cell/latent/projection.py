"""Project latent positions onto a plane: two principal axes, or UMAP if it is installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.latent.axes import LatentAxes, principal_axes
from napari_integrated_cell.latent.population import Population
from napari_integrated_cell.model.latent import LatentDistribution, LatentStatistics
from napari_integrated_cell.model.runtime import CancelToken, Progress
from napari_integrated_cell.processes import progress_of_part, slices

SHAPE = "z_ref"
"""Name of the space of z^r. A structure's name is the name of the space of its z^s."""

_FITTED = 20_000  # largest number of points that UMAP is fitted to; the others are transformed
_PART = 2_000
_NEIGHBOURS = 5
WHAT = "laying out by UMAP"


@dataclass(frozen=True, eq=False)
class Projection:
    """Cells of a population in a plane.

    Attributes
    ----------
    space : str
        :data:`SHAPE`, or the structure whose z^s is shown.
    cells : array of int, (n,)
        Indices of the cells with a position in that space.
    points : array of float32, (n, 2)
        Their coordinates in the plane.
    titles : tuple of str
        Titles of the plane's two axes.
    place : callable
        Function from a position (d,) of that space to its coordinates (2,) in the plane.
    """

    space: str
    cells: Indices
    points: Floats
    titles: tuple[str, str]
    place: Callable[[Floats], Floats]


def positions_in(population: Population, space: str) -> tuple[Indices, Floats]:
    """Return the cells of a population that have a position in a space, and these positions (n, d)."""
    if space == SHAPE:
        return np.arange(len(population)), population.z_ref
    if population.z_struct is None or "structure" not in population.table:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    shown = population.has_z_struct & (population.table["structure"] == space).to_numpy(bool)
    return np.flatnonzero(shown), population.z_struct[shown]


def axes_in(space: str, latent: LatentStatistics | None, z: Floats) -> LatentAxes:
    """Return the principal axes of a space: of the model's training cells, or else of ``z`` (n, d).

    Raises
    ------
    ValueError
        If the model has no statistics and there are fewer than two cells.
    """
    known = latent and (latent.z_ref if space == SHAPE else latent.z_struct.get(space))
    if known:
        return principal_axes(known)
    if len(z) < 2:
        raise ValueError(
            "There are too few cells for principal axes, and the model has none: give two cells or more."
        )
    return principal_axes(
        LatentDistribution.of_moments(len(z), z.mean(0, dtype=np.float64), np.cov(z.T.astype(np.float64)))
    )


def on_axes(space: str, axes: LatentAxes, chosen: tuple[int, int], cells: Indices, z: Floats) -> Projection:
    """Project positions ``z`` (n, d) of cells onto two of the axes."""
    two = list(chosen)
    directions = (axes.directions[two] / axes.lengths[two, None]).astype(np.float32)
    centre = axes.centre.astype(np.float32) @ directions.T

    def place(position: Floats) -> Floats:
        return np.asarray(position @ directions.T - centre, np.float32)

    points = place(z) if len(z) else np.empty((0, 2), np.float32)
    return Projection(space, cells, points, (axis_title(axes, two[0]), axis_title(axes, two[1])), place)


def axis_title(axes: LatentAxes, index: int) -> str:
    """Return an axis's name, its share of the variance, and its unit."""
    share = "" if axes.shares is None else f" · {axes.shares[index]:.0%}"
    return f"{axes.names[index]}{share}" + (f" ({axes.unit})" if axes.unit else "")


def has_umap() -> bool:
    """Return whether UMAP is installed."""
    return find_spec("umap") is not None


def by_umap(
    space: str,
    cells: Indices,
    z: Floats,
    *,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Projection:
    """Project positions ``z`` (n, d) of cells by UMAP. Slow, and always with the same result.

    ``place`` puts any other position at the mean of its nearest cells, weighted by distance, because UMAP's own
    transformation takes seconds.

    Raises
    ------
    ImportError
        If UMAP is not installed.
    ValueError
        If there are too few cells.
    Cancelled
        If ``cancel`` was set. It is checked between parts; the fit itself cannot be stopped.
    """
    if not has_umap():
        raise ImportError(
            "UMAP is not installed: pip install 'napari-integrated-cell[umap]', and restart napari."
        )
    if len(z) < 2 * _NEIGHBOURS:
        raise ValueError(
            f"UMAP needs {2 * _NEIGHBOURS} cells or more, but this space has {len(z)}: add cells."
        )
    import umap

    if progress is not None:
        progress(0, 0, WHAT)
    order = np.random.default_rng(0).permutation(len(z))
    layout = umap.UMAP(n_components=2, n_neighbors=min(15, len(z) - 1), random_state=0)
    points = np.empty((len(z), 2), np.float32)
    points[order[:_FITTED]] = layout.fit_transform(z[order[:_FITTED]])
    rest = order[_FITTED:]
    for part in slices(len(rest), _PART, WHAT, progress_of_part(progress, _FITTED, len(z)), cancel):
        points[rest[part]] = layout.transform(z[rest[part]])
    if cancel is not None:
        cancel.raise_if_cancelled()

    def place(position: Floats) -> Floats:
        squared = ((z - position) ** 2).sum(1)
        near = np.argpartition(squared, _NEIGHBOURS)[:_NEIGHBOURS]
        weights = 1 / (np.sqrt(squared[near]) + 1e-6)
        return np.asarray(weights @ points[near] / weights.sum(), np.float32)

    return Projection(space, cells, points, ("UMAP 1", "UMAP 2"), place)
