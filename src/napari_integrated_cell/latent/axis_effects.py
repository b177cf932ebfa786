"""Measure how a step along a latent axis changes the decoded cell's sizes and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats, Mask
from napari_integrated_cell.imaging.footprint import major_axis
from napari_integrated_cell.imaging.stained_masks import enclosed, membrane_of, nucleus_of
from napari_integrated_cell.latent.position import Position, decode

if TYPE_CHECKING:
    from napari_integrated_cell.latent.axes import LatentAxes
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken


STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Default values on an axis at which cells are decoded."""


@dataclass(frozen=True)
class Quantity:
    """A quantity that is measured on a cell.

    Attributes
    ----------
    name, label, short, unit : str
        Its key, its long and its short name for people, and its unit.
    """

    name: str
    label: str
    short: str
    unit: str


SHAPE = (
    Quantity("cell_volume", "cell volume", "cell", "µm³"),
    Quantity("nucleus_volume", "nucleus volume", "nucleus", "µm³"),
    Quantity("height", "height", "height", "µm"),
    Quantity("elongation", "elongation", "elong.", ""),
    Quantity("nucleus_eccentricity", "nucleus eccentricity", "nuc. ecc.", ""),
)
"""Quantities along the axes of z^r, measured on the reference channels."""

STRUCTURE = (
    Quantity("amount", "amount", "amount", "µm³"),
    Quantity("height_of_centre", "height of its centre", "centre", "µm"),
    Quantity("spread", "spread", "spread", "µm"),
)
"""Quantities along the axes of z^s, measured on the structure's channel. The cell's shape does not depend on z^s."""


@dataclass(frozen=True, eq=False)
class AxisEffect:
    """How the measured quantities change along one axis.

    Attributes
    ----------
    steps : array (n,)
        Values on the axis, increasing.
    measured : mapping of str to array (n,)
        By the name of a :class:`Quantity`; NaN where it could not be measured.
    """

    steps: Doubles
    measured: Mapping[str, Doubles]

    def change(self, name: str) -> float:
        """Return the change of a quantity from first to last step, relative to its mean size; NaN if unknown."""
        values = self.measured[name]
        size = float(np.nanmean(np.abs(values))) if np.isfinite(values).any() else float("nan")
        return float(values[-1] - values[0]) / size if size != 0 else 0.0


def quantities(space: str) -> tuple[Quantity, ...]:
    """Return the quantities for the axes of a space: ``"z_ref"``, or a structure's name for its z^s."""
    return SHAPE if space == "z_ref" else STRUCTURE


def axis_effect(
    model: IntegratedCell,
    position: Position,
    space: str,
    axes: LatentAxes,
    axis: int,
    *,
    steps: Sequence[float] = STEPS,
    cancel: CancelToken | None = None,
) -> AxisEffect:
    """Decode cells along an axis through a position, and measure them.

    Parameters
    ----------
    model : IntegratedCell
    position : Position
        The start. Its values on the other axes do not change.
    space : str
        ``"z_ref"``, or the name of the structure whose z^s is moved.
    axes : LatentAxes
        Axes of that space.
    axis : int
        Index of the axis.
    steps : sequence of float
        Values on the axis, in its unit.
    cancel : CancelToken, optional
        Checked before each cell.

    Raises
    ------
    Cancelled
        If ``cancel`` was set.
    """
    voxel_size, references = model.config.voxel_size, model.config.references
    values = np.sort(np.asarray(steps, np.float64))
    rows = []
    for value in values:
        if space == "z_ref":
            there = replace(position, z_ref=axes.moved(position.z_ref, {axis: value}))
            cell = decode(model, there, references, cancel=cancel)
            rows.append(measure_shape(cell["membrane"], cell["dna"], voxel_size))
        else:
            z = axes.moved(position.z_struct_of(space, model.config.n_struct), {axis: value})
            volume = decode(model, position.with_z_struct(space, z), [space], cancel=cancel)[space]
            rows.append(measure_structure(volume, voxel_size))
    return AxisEffect(values, {q.name: np.array([row[q.name] for row in rows]) for q in quantities(space)})


def measure_shape(membrane: Floats, dna: Floats, voxel_size: float) -> dict[str, float]:
    """Measure sizes and shapes of one posed cell, by the names of :data:`SHAPE`; NaN if a stain is missing.

    Parameters
    ----------
    membrane, dna : array (Z, Y, X)
        The reference channels, decoded or observed.
    voxel_size : float
        Edge of a voxel in µm.

    Notes
    -----
    The cell is the volume that the membrane stain encloses; the nucleus is where the DNA stain is at least half of
    its maximum. Elongation is the ratio of the footprint's principal spreads. The nucleus's eccentricity, seen from
    above, is √(1 - b²/a²), which is 0 for a disc. Height is the distance between the 1st and 99th percentile of Z.
    """
    shell = membrane_of(membrane)
    cell, nucleus = enclosed(shell), nucleus_of(dna)
    of_nucleus = _axis_ratio(nucleus, voxel_size)
    return {
        # The blurred stain lies on both sides of the membrane: average the volumes with and without it.
        "cell_volume": (_volume(cell, voxel_size) + _volume(cell & ~shell, voxel_size)) / 2,
        "nucleus_volume": _volume(nucleus, voxel_size),
        "height": _height(cell, voxel_size),
        "elongation": _axis_ratio(cell, voxel_size),
        "nucleus_eccentricity": float(np.sqrt(1 - of_nucleus**-2)),
    }


def measure_structure(volume: Floats, voxel_size: float) -> dict[str, float]:
    """Measure amount and place of one structure's light (Z, Y, X), by the names of :data:`STRUCTURE`.

    The amount is the volume that the light would fill at full brightness. The spread is the root mean square distance
    from the centre of the light.
    """
    light = np.asarray(volume, np.float64)
    total = float(light.sum())
    if total <= 0:
        return {"amount": 0.0, "height_of_centre": float("nan"), "spread": float("nan")}
    variance = 0.0
    for axis in range(3):
        profile = light.sum(axis=tuple(a for a in range(3) if a != axis)) / total
        where = np.arange(len(profile)) * voxel_size
        centre = float(profile @ where)
        variance += float(profile @ (where - centre) ** 2)
        if axis == 0:
            height = centre
    return {"amount": total * voxel_size**3, "height_of_centre": height, "spread": variance**0.5}


def _volume(mask: Mask, voxel_size: float) -> float:
    return float(mask.sum()) * voxel_size**3 if mask.any() else float("nan")


def _height(mask: Mask, voxel_size: float) -> float:
    """Return the height between the 1st and 99th percentile, interpolated between planes."""
    below = np.concatenate([[0.0], np.cumsum(mask.sum(axis=(1, 2)))])
    if below[-1] == 0:
        return float("nan")
    low, high = np.interp([0.01, 0.99], below / below[-1], np.arange(len(below)))
    return float(high - low) * voxel_size


def _axis_ratio(mask: Mask, voxel_size: float) -> float:
    """Return the ratio of largest to smallest principal spread of a mask seen from above."""
    thickness: Any = mask.sum(axis=0)
    where = np.nonzero(thickness)
    if len(where[0]) == 0:
        return float("nan")
    points = np.stack(where, axis=1).astype(np.float64) * voxel_size
    return major_axis(points, None, (voxel_size, voxel_size))[1]
