"""A group of cells in a population: mean, medoid, and comparison with the other cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_integrated_cell.arrays import Doubles, Indices
from napari_integrated_cell.latent.population import CELL_ID, MEASURES, ROW, Measure, Population
from napari_integrated_cell.latent.position import WEIGHTS, Position, latent_columns, write_rows
from napari_integrated_cell.latent.projection import SHAPE, positions_in
from napari_integrated_cell.model.latent import medoid

MOST_COMPARED = 5_000
"""In a larger group the medoid is chosen among this many random cells: all pairs of 200,000 cells take hours."""


def position_of(population: Population, cell: int, space: str = SHAPE) -> Position:
    """Return a cell's position: z^r and, in the space of a structure, also its z^s of that structure."""
    name = str(population.table[CELL_ID].iloc[cell])
    return _position(population, np.array([cell]), space, name)


def mean_position(population: Population, cells: Indices, space: str = SHAPE) -> Position:
    """Return the mean of some cells' positions.

    Raises
    ------
    ValueError
        If there are no cells.
    """
    _check_not_empty(cells)
    return _position(population, cells, space, f"mean of {len(cells)} cells")


def medoid_cell(population: Population, cells: Indices, space: str = SHAPE) -> int:
    """Return the cell with the smallest sum of (cityblock) distances to the others, as landmarks are chosen.

    Raises
    ------
    ValueError
        If there are no cells, or one has no position in that space.
    """
    _check_not_empty(cells)
    candidates = cells
    if len(cells) > MOST_COMPARED:
        candidates = np.sort(np.random.default_rng(0).choice(cells, MOST_COMPARED, replace=False))
    z = population.z_ref if space == SHAPE or population.z_struct is None else population.z_struct
    return int(candidates[medoid(z[candidates])])


@dataclass(frozen=True)
class Comparison:
    """A measured column in a group and in all other cells.

    Attributes
    ----------
    measure : Measure
        The measured quantity.
    group, rest : tuple of float
        Mean and standard deviation in the group and in the other cells; NaN if no cell has a value.
    difference : float
        Difference of the means, in standard deviations of all cells.
    """

    measure: Measure
    group: tuple[float, float]
    rest: tuple[float, float]
    difference: float


def compared(population: Population, cells: Indices) -> list[Comparison]:
    """Compare a group with all other cells in every measured column that the table has."""
    inside = np.zeros(len(population), bool)
    inside[cells] = True
    found = []
    for column, measure in MEASURES.items():
        if column not in population.table:
            continue
        values = population.table[column].to_numpy(np.float64, na_value=np.nan)
        here, there = (_mean_and_spread(values[side]) for side in (inside, ~inside))
        spread = _mean_and_spread(values)[1]
        found.append(
            Comparison(measure, here, there, (here[0] - there[0]) / spread if spread > 0 else np.nan)
        )
    return found


def write_group(path: str | Path, population: Population, cells: Indices) -> Path:
    """Write some cells as a table for :func:`~.position.read_positions`, with their other columns.

    Raises
    ------
    ValueError
        If there are no cells.
    OSError
        If the file cannot be written; an existing file is kept.
    """
    _check_not_empty(cells)
    group = population.taken(cells)
    columns = [str(name) for name in group.table if name not in (CELL_ID, ROW)]
    has_struct = group.has_z_struct
    structures = [name for name in group.structures if name]
    of_struct = np.empty((len(group), 0), np.float32) if group.z_struct is None else group.z_struct
    n_struct = of_struct.shape[1]
    rows = [["name", WEIGHTS, *columns, *latent_columns(group.z_ref.shape[1], structures, n_struct)]]
    for i in range(len(group)):
        known = group.table.iloc[i]
        own = known["structure"] if structures and has_struct[i] else None
        z_struct = [v for name in structures for v in (of_struct[i] if name == own else np.zeros(n_struct))]
        codes = (repr(float(v)) for v in (*group.z_ref[i], *z_struct))
        rows.append([known[CELL_ID], group.weights, *(_csv_value(known[name]) for name in columns), *codes])
    return write_rows(path, rows)


def _position(population: Population, cells: Indices, space: str, name: str) -> Position:
    z_ref = population.z_ref[cells].mean(0)
    if space == SHAPE or population.z_struct is None:
        return Position(z_ref, name=name)
    _, there = positions_in(population.taken(cells), space)
    return Position(z_ref, {space: there.mean(0)} if len(there) else {}, name)


def _check_not_empty(cells: Indices) -> None:
    if not len(cells):
        raise ValueError("No cell is selected: draw a lasso around some cells, or click one.")


def _mean_and_spread(values: Doubles) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan
    return float(known.mean()), float(known.std())


def _csv_value(value: Any) -> Any:
    """Return an empty string for a missing value, else the value."""
    return "" if value is None or value != value else value
