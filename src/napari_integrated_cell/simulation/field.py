"""Simulate a packed field of cells, where neighbours share their sides as in a real colony."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from napari_integrated_cell.arrays import Doubles, Floats
from napari_integrated_cell.simulation import optics
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances
from napari_integrated_cell.simulation.cells import random_generator, scaled, voxels, wanted_structures
from napari_integrated_cell.simulation.geometry import CellShape, Outline
from napari_integrated_cell.simulation.shapes import draw_shape
from napari_integrated_cell.simulation.structures import draw_structure
from napari_integrated_cell.vocabulary import STAGE_NAMES, STRUCTURE_NAMES

_SPACING = 18.0
"""Mean distance in µm between neighbours' centres."""

_PIVOT = 4.4
"""Height in µm about which the shared sides lean."""

_LAYOUT, _CELLS, _CAMERA = 100, 101, 102


@dataclass(frozen=True, eq=False)
class SimulatedField:
    """A simulated field of cells.

    Attributes
    ----------
    channels : dict of str to array, each (Z, Y, X)
        ``"membrane"``, ``"dna"`` and the structures: uint16 camera counts, or float32 without noise.
    cell_labels, nucleus_labels : array of uint8, (Z, Y, X)
        0 is background, 1 to n are the cells. A cell's nucleus or chromatin has the cell's label.
    voxel_size : (Z, Y, X)
        Voxel size in µm.
    stages : tuple of str
        Stages of cells 1 to n.
    name : str
        A name that says *simulated*.
    """

    channels: dict[str, NDArray[np.generic]]
    cell_labels: NDArray[np.uint8]
    nucleus_labels: NDArray[np.uint8]
    voxel_size: tuple[float, float, float]
    stages: tuple[str, ...]
    name: str = "simulated field"


def simulate_field(
    seed: int,
    n_cells: int = 7,
    *,
    voxel_size: float | Iterable[float] = (0.29, 0.108333, 0.108333),
    structure: str | Iterable[str] | None = "TOM20",
    noise: bool = True,
    margin: float = 2.0,
    psf: optics.PointSpread = optics.SPINNING_DISC,
) -> SimulatedField:
    """Simulate a patch of ``n_cells`` touching cells. If there are at least three, one is mitotic.

    Parameters
    ----------
    seed : int
        Random seed.
    n_cells : int
        Number of cells, 1 to 40.
    voxel_size : float or (Z, Y, X)
        Voxel size in µm.
    structure : str, iterable of str or None
        Structures to image beside membrane and DNA.
    noise : bool
        Whether images are camera counts, or noise-free with maximum 1.
    margin : float
        Margin in µm around the patch.
    psf : PointSpread
        The microscope's blur.

    Returns
    -------
    SimulatedField

    Raises
    ------
    ValueError
        For a number of cells out of range, an unknown structure, an invalid voxel size or a negative seed.
    """
    if not 1 <= n_cells <= 40:
        raise ValueError(f"A field of {n_cells} cells cannot be simulated: give a number from 1 to 40.")
    spacing, names = voxels(voxel_size), wanted_structures(structure)
    shapes, centres = _patch(random_generator(seed, _LAYOUT), n_cells)
    v = np.asarray(spacing)
    places = np.rint(np.c_[np.zeros(n_cells), centres] / v).astype(int)
    grids = [shape.grid(spacing, margin) for shape in shapes]
    starts = [p + np.rint(np.asarray(g.origin) / v).astype(int) for p, g in zip(places, grids, strict=True)]
    low = np.min(starts, axis=0)
    high = np.max([s + g.shape for s, g in zip(starts, grids, strict=True)], axis=0)

    size = tuple(int(n) for n in high - low)
    images = {name: np.zeros(size, np.float32) for name in ("membrane", "dna", *names)}
    labels, nuclei, nearest = np.zeros(size, np.uint8), np.zeros(size, np.uint8), np.zeros(size, np.float32)
    for index, (shape, grid, start) in enumerate(zip(shapes, grids, starts, strict=True)):
        here = tuple(slice(int(a), int(a) + n) for a, n in zip(start - low, grid.shape, strict=True))
        anatomy, fields = Anatomy(shape), Distances(shape, grid)
        deeper = fields.cell < nearest[here]
        nearest[here][deeper] = fields.cell[deeper]
        labels[here][deeper] = index + 1
        nuclei[here][deeper] = np.where(fields.chromatin[deeper] < 0, index + 1, 0)
        for name, image in images.items():
            drawn = _drawn(name, anatomy, fields, seed, index)
            np.maximum(image[here], drawn, out=image[here])
    channels: dict[str, NDArray[np.generic]] = {}
    for number, (name, image) in enumerate(images.items()):
        seen = scaled(psf.blur(image, spacing))
        channels[name] = (
            optics.Camera().expose(seen, 600, random_generator(seed, _CAMERA, number)) if noise else seen
        )
    return SimulatedField(
        channels, labels, nuclei, spacing, tuple(s.stage for s in shapes), f"simulated field {seed}"
    )


def _drawn(name: str, anatomy: Anatomy, fields: Distances, seed: int, index: int) -> Floats:
    """Draw one channel of one cell, without the microscope's blur."""

    def rng(part: str) -> np.random.Generator:
        stream = STRUCTURE_NAMES.index(part) if part in STRUCTURE_NAMES else len(STRUCTURE_NAMES)
        return random_generator(seed, _CELLS, index, stream)

    if name == "membrane":
        return optics.membrane_stain(fields, rng(name), neighbours=False)
    if name == "dna":
        return optics.dna_stain(anatomy, fields, rng(name), rng("fibrillarin"))
    return draw_structure(name, anatomy, fields, rng(name))


def _patch(rng: np.random.Generator, n_cells: int) -> tuple[list[CellShape], Doubles]:
    """Draw shapes of ``n_cells`` neighbours, and their centres (N, 2) in µm in the plane."""
    centres = _scattered(rng, n_cells)
    sides = _shared_sides(rng, centres)
    stages = ["interphase"] * n_cells
    if n_cells >= 3:
        stages[int(rng.integers(n_cells))] = str(rng.choice(STAGE_NAMES[1:]))
    shapes = []
    for index, stage in enumerate(stages):
        angle, distance, bend, lean, foot = np.array(sides[index]).T
        reach = 0.95 * _SPACING
        outline = Outline(
            angles=angle,
            distances=distance,
            bends=bend,
            spans=np.full(len(angle), 0.6 * _SPACING),
            leans=lean,
            feet=foot,
            reach=(reach, reach),
            bow=0.0,
            crease=0.3,
            pivot=_PIVOT,
        )
        shapes.append(draw_shape(rng, stage, outline))
    return shapes, centres[:n_cells]


def _scattered(rng: np.random.Generator, n_cells: int) -> Doubles:
    """Return centres (N, 2) of a stretched lattice with jitter, sorted from the middle; more than ``n_cells``."""
    reach = int(np.ceil(np.sqrt(n_cells))) + 3
    i, j = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    lattice = np.c_[(j * np.sqrt(0.75)).ravel(), (i + 0.5 * (j % 2)).ravel()] * _SPACING
    lattice += rng.normal(0, 0.13 * _SPACING, lattice.shape)
    stretch = rng.uniform(1.0, 1.2)
    turn = rng.uniform(0, 2 * np.pi)
    lattice = lattice * [1 / stretch, stretch]
    lattice = lattice @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return lattice[np.argsort((lattice**2).sum(1))]


def _shared_sides(rng: np.random.Generator, centres: Doubles) -> list[list[tuple[float, ...]]]:
    """Return the sides (angle, distance, bend, lean, foot) of each cell. A cell's bulge is its neighbour's dent."""
    sides: list[list[tuple[float, ...]]] = [[] for _ in centres]
    pairs = {
        tuple(sorted(p))
        for s in Delaunay(centres).simplices
        for p in ((s[0], s[1]), (s[1], s[2]), (s[0], s[2]))
    }
    for a, b in sorted(pairs):
        y, x = centres[b] - centres[a]
        angle, half = float(np.arctan2(y, x)), float(np.hypot(y, x)) / 2
        bend, lean, foot = rng.normal(0, 0.25 / half), rng.normal(0, 0.22), rng.normal(0, 0.7)
        sides[a].append((angle, half, bend, lean, foot))
        sides[b].append((angle + np.pi, half, -bend, -lean, -foot))
    return sides
