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
from napari_integrated_cell.simulation.acquisition import IDEAL, Acquisition, checked_imaging
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
from napari_integrated_cell.simulation.population import DEFAULT_POPULATION, POPULATIONS, population_of
from napari_integrated_cell.simulation.shapes import draw_shape
from napari_integrated_cell.simulation.structures import draw_structure
from napari_integrated_cell.vocabulary import STAGE_NAMES, STRUCTURE_NAMES

DEFAULT_STAGE_WEIGHTS: dict[str, float] = {
    "interphase": 0.60,
    **{name: 0.40 / (len(STAGE_NAMES) - 1) for name in STAGE_NAMES[1:]},
}
"""Probability of each stage. Mitosis is far more frequent than the real few per cent, so that all stages occur."""

# Independent random streams for the parts of a cell: one more structure, another voxel size or no noise changes
# nothing else.
_SHAPE, _STAINS, _CAMERA, _STAGE, _EXPRESSION, _ACQUISITION, _POPULATION = range(7)
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
    population : str
        A name in :data:`~.population.POPULATIONS`.
    """

    stage: str
    structures: tuple[str, ...]
    parameters: Mapping[str, float]
    population: str = DEFAULT_POPULATION


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
    acquisition : Acquisition
        How the cell was imaged and segmented. The stated voxel size of ``cell`` may be wrong; that of ``grid`` is true.
    """

    cell: Cell
    shape: CellShape
    truth: Truth
    grid: Grid
    noise_free: Mapping[str, Floats]
    acquisition: Acquisition

    def expected_localisation(self, structure: str, *, draws: int = 64, seed: int = 0) -> Floats:
        """Return :func:`expected_localisation` of this cell on its own grid."""
        psf = self.acquisition.point_spread()
        return _expected(self.shape, structure, self.grid, draws, seed, psf)


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


def simulate_shape(seed: int, stage: str = "interphase", population: str = DEFAULT_POPULATION) -> CellShape:
    """Return only the shape of the cell that :func:`simulate_cell` makes of these arguments."""
    stage = vocabulary.stage(stage).name
    of = POPULATIONS[drawn_population(seed, population)]
    return draw_shape(random_generator(seed, _SHAPE, STAGE_NAMES.index(stage)), stage, population=of)


def drawn_population(seed: int, population: str) -> str:
    """Return the population of the cell with this seed, one in :data:`~.population.POPULATIONS`."""
    return population_of(random_generator(seed, _POPULATION), population)


def drawn_acquisition(seed: int, imaging: str) -> Acquisition:
    """Return the acquisition of the cell with this seed."""
    ideal = checked_imaging(imaging) == IDEAL
    return Acquisition() if ideal else Acquisition.drawn(random_generator(seed, _ACQUISITION))


def simulate_cell(
    seed: int,
    *,
    stage: str | None = "interphase",
    structure: str | Iterable[str] | None = None,
    voxel_size: float | Iterable[float] = 0.317,
    noise: bool = True,
    margin: float | tuple[float, float, float] = 1.5,
    psf: PointSpread = SPINNING_DISC,
    population: str = DEFAULT_POPULATION,
    imaging: str = IDEAL,
) -> SimulatedCell:
    """Simulate one cell.

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
    population : {"field", "hipsc", "spread", "mixed"}
        hiPS cells as in one real field (those that the bundled model was fitted on), hiPS cells that cover all real
        ones, flat cells that spread alone, or one of the last two at random.
    imaging : {"ideal", "varied"}
        ``"varied"`` has the faults of real images: cells that the edge of the field cuts, wrong voxel sizes, more
        blur, less light, light from out of focus, and segmentations that are too large or too small.

    Returns
    -------
    SimulatedCell
        Its ``cell`` has the channels and the true masks, (Z, Y, X) each.

    Raises
    ------
    ValueError
        For an unknown stage, structure, population or imaging, an invalid voxel size or a negative seed.
    """
    stage = draw_stage(random_generator(seed, _STAGE)) if stage is None else vocabulary.stage(stage).name
    names, spacing = wanted_structures(structure), voxels(voxel_size)
    shape = simulate_shape(seed, stage, population)
    acquisition = drawn_acquisition(seed, imaging)
    grid = acquisition.in_field(shape, shape.grid(spacing, margin))
    psf = acquisition.point_spread(psf)
    anatomy, fields = Anatomy(shape), Distances(shape, grid)

    def of_structure(name: str) -> np.random.Generator:
        return random_generator(seed, _STRUCTURES + STRUCTURE_NAMES.index(name))

    images = {
        "membrane": membrane_stain(fields, random_generator(seed, _STAINS, 0), neighbours=noise),
        "dna": dna_stain(anatomy, fields, random_generator(seed, _STAINS, 1), of_structure("fibrillarin")),
    }
    images |= {name: draw_structure(name, anatomy, fields, of_structure(name)) for name in names}
    noise_free = {
        name: scaled(acquisition.lit(psf.blur(image, spacing), grid, shape)) for name, image in images.items()
    }
    channels: dict[str, NDArray[Any]] = dict(noise_free)
    if noise:
        for name, image in noise_free.items():
            stream = STRUCTURE_NAMES.index(name) + 2 if name in names else list(images).index(name)
            photons = random_generator(seed, _EXPRESSION, stream).lognormal(np.log(600), 0.4)
            photons = float(np.clip(photons, 200, 3000)) * acquisition.photons
            channels[name] = Camera().expose(image, photons, random_generator(seed, _CAMERA, stream))
    cell_grown, nucleus_grown = acquisition.grown
    cell_mask = fields.cell < cell_grown
    cell = Cell(
        channels=channels,
        cell_mask=cell_mask,
        nucleus_mask=(fields.chromatin < nucleus_grown) & cell_mask,
        voxel_size=acquisition.stated_voxel_size(spacing),
        name=f"simulated cell {seed} ({stage})",
        source="simulated",
        metadata={"simulated": True, "stage": stage, "seed": seed, "structures": names},
    )
    truth = Truth(stage, names, shape.parameters(), drawn_population(seed, population))
    return SimulatedCell(cell, shape, truth, grid, noise_free, acquisition)


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
