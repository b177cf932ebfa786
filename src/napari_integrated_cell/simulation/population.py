"""Populations of simulated cells: distributions of the shapes of hiPS cells in a colony, and of flat cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True)
class ShapeDistributions:
    """Distributions of the shapes of interphase cells.

    Attributes
    ----------
    volume, height : (mean, sd, low, high)
        Truncated normal distributions of the volume in µm³ and the height in µm.
    tall : (share, low, high)
        Share of the cells whose height is uniform in a wider range in µm, so that a model does not only know the
        heights of the field that the normal distribution comes from.
    crowding : float
        Factor on the irregularity, shear and roughness of these cells, which stand in crowded parts of a colony, and
        on the flatness of their nuclei.
    nucleus : (mean, sd, low, high)
        Truncated normal distribution of the nucleus's share of the cell's volume, before a lognormal scatter of 4.5 %.
    flatness : (low, high)
        Range of the ratio of a nucleus's height to its mean axis in the plane, for a cell 8.7 µm high.
    level : (mean, sd)
        Height of the nucleus's centre: its mean relative to the cell's height, and its standard deviation in µm.
    off_centre : float
        Standard deviation in µm of the nucleus's place in the plane.
    clearance : (low, high)
        Range of the smallest distance in µm of the nucleus from the cell's surface.
    dome, rim : (low, high)
        Ranges of the drop of the apex at 1.9 mean radii and of the width over which sides and apex merge, in µm.
    elongation : float
        Mean excess of the long over the short axis of the outline.
    shear : float
        Mean shift of the apex against the base, in µm for each µm of height: neighbours overlap.
    lift : float
        Mean height in µm to which the base curves up at 1.9 mean radii.
    roughness : (median, sd of the logarithm)
        Lognormal distribution of the amplitude of the surface's roughness, in µm.
    irregularity : float
        Factor on the bends, leans and unequal distances of the sides.
    skirt : (drop, width)
        Drop of the apex towards the sides, relative to the height, and the width of the skirt relative to the cell's
        mean radius. (0, 1) for cells with upright sides.
    apical_belt : bool
        Whether the cells have a belt of junctions at the apex, as in an epithelium.
    mitotic_height : float
        Least height in µm of round mitotic cells, before the factor of their stage; 0 if they are as tall as others.
    just_divided : float
        Share of the interphase cells that have just divided.
    """

    volume: tuple[float, float, float, float]
    height: tuple[float, float, float, float]
    tall: tuple[float, float, float]
    crowding: float
    nucleus: tuple[float, float, float, float]
    flatness: tuple[float, float]
    level: tuple[float, float]
    off_centre: float
    clearance: tuple[float, float]
    dome: tuple[float, float]
    rim: tuple[float, float]
    elongation: float
    shear: float
    lift: float
    roughness: tuple[float, float]
    irregularity: float
    skirt: tuple[float, float]
    apical_belt: bool
    mitotic_height: float
    just_divided: float


HIPSC = ShapeDistributions(
    volume=(2150, 470, 1100, 3700),
    height=(8.8, 1.2, 6.5, 11.5),
    tall=(0.4, 6.5, 15.8),
    crowding=1.4,
    nucleus=(0.33, 0.075, 0.22, 0.54),
    flatness=(0.39, 0.78),
    level=(0.44, 0.45),
    off_centre=1.2,
    clearance=(0.05, 0.3),
    dome=(0.5, 3.5),
    rim=(0.4, 1.2),
    elongation=0.75,
    shear=0.42,
    lift=1.8,
    roughness=(0.45, 0.4),
    irregularity=1.4,
    skirt=(0.0, 1.0),
    apical_belt=True,
    mitotic_height=0.0,
    just_divided=0.12,  # two of thirteen in a real field
)
"""Cells of a human induced pluripotent stem cell colony: columns that lean on each other."""

SPREAD = ShapeDistributions(
    volume=(1050, 250, 500, 1800),
    height=(3.5, 0.5, 2.6, 5.0),
    tall=(0.15, 2.6, 6.0),
    crowding=1.0,
    nucleus=(0.48, 0.06, 0.3, 0.62),
    flatness=(0.46, 0.90),
    level=(0.42, 0.1),
    off_centre=1.3,
    clearance=(0.05, 0.15),
    dome=(0.2, 1.4),
    rim=(0.2, 0.5),
    elongation=0.7,
    shear=0.0,
    lift=0.0,
    roughness=(0.22, 0.3),
    irregularity=0.55,
    skirt=(0.75, 0.7),
    apical_belt=False,
    mitotic_height=9.0,
    just_divided=0.05,
)
"""Flat cells that spread on glass, such as HeLa cells: 3 to 5 µm high, without neighbours at their sides."""

FIELD = ShapeDistributions(
    volume=(2180, 400, 1500, 3200),
    height=(8.7, 1.15, 7.0, 11.3),
    tall=(0.0, 7.0, 11.3),
    crowding=1.0,
    nucleus=(0.287, 0.0, 0.28, 0.29),
    flatness=(0.41, 0.53),
    level=(0.42, 0.2),
    off_centre=0.8,
    clearance=(0.1, 0.3),
    dome=(0.5, 3.5),
    rim=(0.4, 1.2),
    elongation=0.8,
    shear=0.0,
    lift=0.0,
    roughness=(0.30, 0.0),
    irregularity=1.0,
    skirt=(0.0, 1.0),
    apical_belt=True,
    mitotic_height=0.0,
    just_divided=0.12,
)
"""hiPS cells as in one real field, those that the bundled model was fitted on. They vary less than ``HIPSC``."""

POPULATIONS: Mapping[str, ShapeDistributions] = MappingProxyType(
    {"hipsc": HIPSC, "spread": SPREAD, "field": FIELD}
)
DEFAULT_POPULATION = "field"
MIXED = "mixed"
SPREAD_SHARE = 0.3
"""Share of the cells of the population ``"mixed"`` that are spread; the others are hiPS cells."""
POPULATION_NAMES = (*POPULATIONS, MIXED)


def checked_population(name: str) -> str:
    """Return the name of a population, or raise a ValueError that lists them."""
    if name not in POPULATION_NAMES:
        raise ValueError(f"There is no population {name!r}: choose one of {', '.join(POPULATION_NAMES)}.")
    return name


def population_of(rng: np.random.Generator, name: str) -> str:
    """Return the population of one cell: ``name``, or one of the two at random for ``"mixed"``."""
    if checked_population(name) != MIXED:
        return name
    return "spread" if rng.random() < SPREAD_SHARE else "hipsc"
