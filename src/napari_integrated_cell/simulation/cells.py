"""Simulate one cell: shape, stains, structures, masks and ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell import vocabulary
from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances
from napari_integrated_cell.simulation.geometry import CellShape
from napari_integrated_cell.simulation.grid import Grid
from napari_integrated_cell.simulation.optics import (
    SPINNING_DISC,
    Camera,
    PointSpread,
    dna_stain,
    membrane_stain,
)
from napari_integrated_cell.simulation.population import draw_shape
from napari_integrated_cell.simulation.structures import draw_structure
from napari_integrated_cell.vocabulary import STAGE_NAMES, STRUCTURE_NAMES

DEFAULT_STAGE_WEIGHTS: dict[str, float] = {
    "interphase": 0.60,
    **{name: 0.40 / (len(STAGE_NAMES) - 1) for name in STAGE_NAMES[1:]},
}
"""Probability of each stage. Mitosis is far more frequent than the real few per cent, so that all stages occur."""

# Independent random streams for the parts of a cell: one more structure, another voxel size or no noise changes
# nothing else.
_SHAPE, _STAINS, _CAMERA, _STAGE, _EXPRESSION = 0, 1, 2, 3, 4
_STRUCTURES = 16


@dataclass(frozen=True)
class Truth:
    """Ground truth of a simulated cell.

    Attributes
    ----------
    stage : str
        One of the eight stages.
    structures : tuple of str
        Structures that were drawn.
    parameters : mapping of str to float
        Parameters of the shape.
    """

    stage: str
    structures: tuple[str, ...]
    parameters: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class SimulatedCell:
    """A simulated cell with its shape (which any grid can show) and its ground truth.

    Attributes
    ----------
    cell : Cell
        Channels and masks.
    shape : CellShape
        The cell's shape.
    truth : Truth
        Stage, structures, parameters.
    grid : Grid
        The cell's voxels in the shape's coordinates.
    noise_free : mapping of str to array, each (Z, Y, X) float32
        The channels without photon and camera noise, with maximum 1.
    """

    cell: Cell
    shape: CellShape
    truth: Truth
    grid: Grid
    noise_free: Mapping[str, Floats]

    def expected_localisation(self, structure: str, *, draws: int = 64, seed: int = 0) -> Floats:
        """Return :func:`expected_localisation` of this cell on its own grid."""
        return _expected(self.shape, structure, self.grid, draws, seed, SPINNING_DISC)


def random_generator(seed: int, *stream: int) -> np.random.Generator:
    """Return the random generator of one part of the cell with ``seed``."""
    if seed < 0:
        raise ValueError(f"The seed {seed} is negative: give a whole number from 0 upwards.")
    return np.random.default_rng([seed, *stream])


def draw_stage(rng: np.random.Generator, weights: Mapping[str, float] | None = None) -> str:
    """Draw a stage by ``weights``, by default :data:`DEFAULT_STAGE_WEIGHTS`."""
    weights = DEFAULT_STAGE_WEIGHTS if weights is None else weights
    names = [vocabulary.stage(name).name for name in weights]
    odds = np.array(list(weights.values()), float)
    if len(odds) == 0 or not np.isfinite(odds).all() or (odds < 0).any() or odds.sum() <= 0:
        raise ValueError(
            f"The stage weights {dict(weights)} are not valid: give numbers from 0 upwards, not all of them zero."
        )
    return str(rng.choice(names, p=odds / odds.sum()))


def wanted_structures(structure: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return structure names in the vocabulary's spelling: none, one, several, or the eleven for ``"all"``."""
    if structure is None:
        return ()
    if isinstance(structure, str):
        return STRUCTURE_NAMES if structure == "all" else (vocabulary.structure(structure).name,)
    return tuple(dict.fromkeys(vocabulary.structure(name).name for name in structure))


def voxels(voxel_size: float | Iterable[float]) -> tuple[float, float, float]:
    """Return ``voxel_size`` as (Z, Y, X) in µm. One number means cubic voxels."""
    return checked_voxel_size((voxel_size,) * 3 if isinstance(voxel_size, int | float) else voxel_size)


def simulate_shape(seed: int, stage: str = "interphase") -> CellShape:
    """Return only the shape of the cell that :func:`simulate_cell` makes from ``seed`` and ``stage``."""
    stage = vocabulary.stage(stage).name
    return draw_shape(random_generator(seed, _SHAPE, STAGE_NAMES.index(stage)), stage)


def simulate_cell(
    seed: int,
    *,
    stage: str | None = "interphase",
    structure: str | Iterable[str] | None = None,
    voxel_size: float | Iterable[float] = 0.317,
    noise: bool = True,
    margin: float | tuple[float, float, float] = 1.5,
    psf: PointSpread = SPINNING_DISC,
) -> SimulatedCell:
    """Simulate one hiPSC-like cell.

    Parameters
    ----------
    seed : int
        Random seed. The same seed and stage give the same cell on any voxel grid.
    stage : str or None
        One of the eight stages of section 3.4.5; None draws one.
    structure : str, iterable of str or None
        Structures to image beside membrane and DNA; ``"all"`` for the eleven.
    voxel_size : float or (Z, Y, X)
        Voxel size in µm.
    noise : bool
        If True, channels are uint16 camera counts, unmasked, with the neighbours' membranes. If False, they are
        float32 without noise, with maximum 1.
    margin : float or (Z, Y, X)
        Margin in µm around the cell.
    psf : PointSpread
        The microscope's blur.

    Returns
    -------
    SimulatedCell
        Its ``cell`` has the channels and the true masks, (Z, Y, X) each.

    Raises
    ------
    ValueError
        For an unknown stage or structure, an invalid voxel size or a negative seed.
    """
    stage = draw_stage(random_generator(seed, _STAGE)) if stage is None else vocabulary.stage(stage).name
    names, spacing = wanted_structures(structure), voxels(voxel_size)
    shape = simulate_shape(seed, stage)
    grid = shape.grid(spacing, margin)
    anatomy, fields = Anatomy(shape), Distances(shape, grid)

    def of_structure(name: str) -> np.random.Generator:
        return random_generator(seed, _STRUCTURES + STRUCTURE_NAMES.index(name))

    images = {
        "membrane": membrane_stain(fields, random_generator(seed, _STAINS, 0), neighbours=noise),
        "dna": dna_stain(anatomy, fields, random_generator(seed, _STAINS, 1), of_structure("fibrillarin")),
    }
    images |= {name: draw_structure(name, anatomy, fields, of_structure(name)) for name in names}
    noise_free = {name: scaled(psf.blur(image, spacing)) for name, image in images.items()}
    channels: dict[str, NDArray[Any]] = dict(noise_free)
    if noise:
        for name, image in noise_free.items():
            stream = STRUCTURE_NAMES.index(name) + 2 if name in names else list(images).index(name)
            photons = random_generator(seed, _EXPRESSION, stream).lognormal(np.log(600), 0.4)
            rng = random_generator(seed, _CAMERA, stream)
            channels[name] = Camera().expose(image, float(np.clip(photons, 200, 3000)), rng)
    cell_mask = fields.cell < 0
    cell = Cell(
        channels=channels,
        cell_mask=cell_mask,
        nucleus_mask=(fields.chromatin < 0) & cell_mask,
        voxel_size=spacing,
        name=f"simulated cell {seed} ({stage})",
        source="simulated",
        metadata={"simulated": True, "stage": stage, "seed": seed, "structures": names},
    )
    return SimulatedCell(cell, shape, Truth(stage, names, shape.parameters()), grid, noise_free)


def scaled(image: Floats) -> Floats:
    """Divide ``image`` by its maximum."""
    return image / np.float32(max(float(image.max(initial=0)), 1e-12))


def structure_draws(
    shape: CellShape, structure: str, grid: Grid, draws: int, seed: int = 0, psf: PointSpread = SPINNING_DISC
) -> Iterator[Floats]:
    """Yield independent noise-free draws (Z, Y, X) of one structure in one shape, each with maximum 1."""
    name = vocabulary.structure(structure).name
    anatomy, fields = Anatomy(shape), Distances(shape, grid)
    for draw in range(draws):
        rng = random_generator(seed, _STRUCTURES + STRUCTURE_NAMES.index(name), draw)
        yield scaled(psf.blur(draw_structure(name, anatomy, fields, rng), grid.voxel_size))


def expected_localisation(
    shape: CellShape,
    structure: str,
    voxel_size: float | Iterable[float] = 0.634,
    *,
    margin: float | tuple[float, float, float] = 1.5,
    draws: int = 64,
    seed: int = 0,
    psf: PointSpread = SPINNING_DISC,
) -> Floats:
    """Return the mean of independent noise-free draws of a structure in a cell of ``shape``.

    Parameters
    ----------
    shape : CellShape
        A shape, e.g. :attr:`SimulatedCell.shape`.
    structure : str
        The structure's name.
    voxel_size, margin
        As for :func:`simulate_cell`. The same values give the same grid.
    draws, seed : int
        Number of draws, and their random seed.
    psf : PointSpread
        The microscope's blur.

    Returns
    -------
    array, (Z, Y, X) float32 in [0, 1]
        Each draw is scaled to a maximum of 1 before averaging, like each image of the dataset.

    Raises
    ------
    ValueError
        For fewer than one draw, an unknown structure, an invalid voxel size or a negative seed.
    """
    return _expected(shape, structure, shape.grid(voxels(voxel_size), margin), draws, seed, psf)


def _expected(
    shape: CellShape, structure: str, grid: Grid, draws: int, seed: int, psf: PointSpread
) -> Floats:
    if draws < 1:
        raise ValueError(f"An expectation over {draws} draws is undefined: give 1 or more.")
    total = np.zeros(grid.shape, np.float32)
    for image in structure_draws(shape, structure, grid, draws, seed, psf):
        total += image
    return total / np.float32(draws)
