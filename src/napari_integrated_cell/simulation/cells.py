"""One simulated cell: shape, stains, structures, masks and the truth behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell import vocabulary
from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.simulation.anatomy import Anatomy, DistanceFields
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
"""How often each stage is drawn: mitosis far above its real few per cent, so that all eight are seen."""

# Independent streams of random numbers for the parts of one cell, so that asking for one more structure, for
# another voxel size or for no noise changes nothing else.
_SHAPE, _STAINS, _CAMERA, _STAGE, _EXPRESSION = 0, 1, 2, 3, 4
_STRUCTURES = 16


@dataclass(frozen=True)
class Truth:
    """What a simulated cell really is.

    Attributes
    ----------
    stage : str
        One of the eight stages.
    structures : tuple of str
        The structures that were drawn.
    parameters : mapping of str to float
        The generator's own parameters of the shape.
    """

    stage: str
    structures: tuple[str, ...]
    parameters: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class SimulatedCell:
    """A simulated cell, its shape (renderable on any grid) and the truth behind it.

    Attributes
    ----------
    cell : Cell
        Channels and masks.
    shape : CellShape
        Its shape.
    truth : Truth
        Stage, structures, parameters.
    grid : Grid
        Where its voxels lie in the shape's own space.
    noise_free : mapping of str to array, each (Z, Y, X) float32
        The channels before photons and camera, with maximum 1.
    """

    cell: Cell
    shape: CellShape
    truth: Truth
    grid: Grid
    noise_free: Mapping[str, Floats]

    def expected_localisation(self, structure: str, *, draws: int = 64, seed: int = 0) -> Floats:
        """:func:`expected_localisation` of this cell on its own grid."""
        return _expected(self.shape, structure, self.grid, draws, seed, SPINNING_DISC)


def random_generator(seed: int, *stream: int) -> np.random.Generator:
    """The stream of random numbers that belongs to one part of the cell of ``seed``."""
    if seed < 0:
        raise ValueError(f"The seed {seed} is negative: give a whole number from 0 upwards.")
    return np.random.default_rng([seed, *stream])


def draw_stage(rng: np.random.Generator, weights: Mapping[str, float] | None = None) -> str:
    """A stage drawn by ``weights`` (by :data:`DEFAULT_STAGE_WEIGHTS` where none are given)."""
    weights = DEFAULT_STAGE_WEIGHTS if weights is None else weights
    names = [vocabulary.stage(name).name for name in weights]
    odds = np.array(list(weights.values()), float)
    if len(odds) == 0 or not np.isfinite(odds).all() or (odds < 0).any() or odds.sum() <= 0:
        raise ValueError(f"The stage weights {dict(weights)} must be numbers from 0 upwards, not all zero.")
    return str(rng.choice(names, p=odds / odds.sum()))


def wanted_structures(structure: str | Iterable[str] | None) -> tuple[str, ...]:
    """Structure names in the vocabulary's spelling: none, one or several; ``"all"`` for the eleven."""
    if structure is None:
        return ()
    if isinstance(structure, str):
        return STRUCTURE_NAMES if structure == "all" else (vocabulary.structure(structure).name,)
    return tuple(dict.fromkeys(vocabulary.structure(name).name for name in structure))


def voxels(voxel_size: float | Iterable[float]) -> tuple[float, float, float]:
    """``voxel_size`` as (Z, Y, X) in µm; one number means cubic voxels."""
    return checked_voxel_size((voxel_size,) * 3 if isinstance(voxel_size, int | float) else voxel_size)


def simulate_shape(seed: int, stage: str = "interphase") -> CellShape:
    """The shape alone of the cell that :func:`simulate_cell` makes of ``seed`` and ``stage``."""
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
    """One simulated hiPSC-like cell.

    Parameters
    ----------
    seed : int
        The same seed and stage give the same cell, on any voxel grid.
    stage : str or None
        One of the eight stages of section 3.4.5; None draws one.
    structure : str, iterable of str or None
        Structures to image beside membrane and DNA; ``"all"`` for the eleven.
    voxel_size : float or (Z, Y, X)
        µm.
    noise : bool
        With it, channels are uint16 camera counts, unmasked, with the neighbours' membranes; without it they
        are float32, noise-free, with maximum 1.
    margin : float or (Z, Y, X)
        Room in µm around the cell.
    psf : PointSpread
        The microscope's blur.

    Returns
    -------
    SimulatedCell
        Its ``cell`` carries the channels and true masks, (Z, Y, X) each.

    Raises
    ------
    ValueError
        For an unknown stage or structure, a bad voxel size or a negative seed.
    """
    stage = draw_stage(random_generator(seed, _STAGE)) if stage is None else vocabulary.stage(stage).name
    names, spacing = wanted_structures(structure), voxels(voxel_size)
    shape = simulate_shape(seed, stage)
    grid = shape.grid(spacing, margin)
    anatomy, fields = Anatomy(shape), DistanceFields(shape, grid)

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
    """``image`` divided by its maximum."""
    return image / np.float32(max(float(image.max(initial=0)), 1e-12))


def structure_draws(
    shape: CellShape,
    structure: str,
    grid: Grid,
    draws: int,
    seed: int = 0,
    psf: PointSpread = SPINNING_DISC,
) -> Iterator[Floats]:
    """Noise-free images (Z, Y, X) with maximum 1 of independent draws of one structure in one shape."""
    name = vocabulary.structure(structure).name
    anatomy, fields = Anatomy(shape), DistanceFields(shape, grid)
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
    """Where a structure is to be expected in a cell of ``shape``: the mean of independent noise-free draws.

    Parameters
    ----------
    shape : CellShape
        From :attr:`SimulatedCell.shape`.
    structure : str
        Its name.
    voxel_size, margin
        As for :func:`simulate_cell`: the same values give the same grid.
    draws, seed : int
        How many draws, of which stream.
    psf : PointSpread
        The microscope's blur.

    Returns
    -------
    array, (Z, Y, X) float32 in [0, 1]
        Each draw is scaled to a maximum of 1 before the mean is taken, as each image of the data set is.
    """
    return _expected(shape, structure, shape.grid(voxels(voxel_size), margin), draws, seed, psf)


def _expected(
    shape: CellShape, structure: str, grid: Grid, draws: int, seed: int, psf: PointSpread
) -> Floats:
    if draws < 1:
        raise ValueError(f"An expectation over {draws} draws is undefined: ask for one at least.")
    total = np.zeros(grid.shape, np.float32)
    for image in structure_draws(shape, structure, grid, draws, seed, psf):
        total += image
    return total / np.float32(draws)
