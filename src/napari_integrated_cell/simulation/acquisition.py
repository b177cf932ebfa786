"""How a simulated cell is imaged and segmented: the edge of the field, the stated voxel size, blur, light, masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.rendering import SPINNING_DISC, PointSpread
from napari_integrated_cell.simulation.geometry import CellShape
from napari_integrated_cell.simulation.grid import Grid

IDEAL, VARIED = "ideal", "varied"
IMAGING_NAMES = (IDEAL, VARIED)

_CUT = 0.15
"""Share of the cells of varied imaging that the edge of the field cuts."""
_MOST_WRONG = 0.3
"""Largest relative error of a stated voxel size."""


@dataclass(frozen=True)
class Acquisition:
    """How one cell is imaged and segmented. The defaults are those of a good microscope and true masks.

    Attributes
    ----------
    edge : (axis, side, share) or None
        The edge of the field cuts the cell: along Y (1) or X (2), at its low (-1) or high (1) side, at this share of
        the way from the nucleus's centre to the cell's end. None if the whole cell is in the field.
    stated : (Z, Y, X)
        Stated voxel size, relative to the true one.
    blur : (Z, Y, X)
        Factors on the widths of the point-spread.
    photons : float
        Factor on the number of photons of every channel.
    haze : float
        Light from out of focus in every channel, relative to its maximum.
    fading : float
        Share of the light that is lost from the bottom of the cell to its top.
    grown : (cell, nucleus)
        Distance in µm by which the segmentations are too large; negative if they are too small.
    """

    edge: tuple[int, int, float] | None = None
    stated: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: tuple[float, float, float] = (1.0, 1.0, 1.0)
    photons: float = 1.0
    haze: float = 0.0
    fading: float = 0.0
    grown: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Acquisition:
        """Draw an acquisition with the faults of real ones."""
        edge = None
        if rng.random() < _CUT:
            edge = (int(rng.integers(1, 3)), int(rng.choice((-1, 1))), float(rng.uniform(0.15, 0.9)))
        # Most voxel sizes are right or nearly so. The step along Z is wrong more often than the size in the plane.
        along_z, in_plane = rng.normal(0, (0.15, 0.05)) * (rng.random(2) < (0.6, 0.4))
        stated = np.exp(np.clip([along_z, in_plane, in_plane], -np.log1p(_MOST_WRONG), np.log1p(_MOST_WRONG)))
        in_plane_blur = float(rng.uniform(1.0, 1.6))
        return cls(
            edge=edge,
            stated=(float(stated[0]), float(stated[1]), float(stated[2])),
            blur=(float(rng.uniform(1.0, 2.2)), in_plane_blur, in_plane_blur),
            photons=float(np.exp(rng.uniform(np.log(0.25), np.log(1.5)))),
            haze=float(rng.uniform(0, 0.06)),
            fading=float(max(rng.normal(0.1, 0.15), 0)),
            grown=(float(rng.normal(0, 0.12)), float(rng.normal(0, 0.12))),
        )

    @property
    def is_cut(self) -> bool:
        """Whether the edge of the field cuts the cell."""
        return self.edge is not None

    def in_field(self, shape: CellShape, grid: Grid) -> Grid:
        """Return the part of a grid that lies in the field."""
        if self.edge is None:
            return grid
        axis, side, share = self.edge
        end = shape.bounds[0 if side < 0 else 1][axis]
        place = shape.centre[axis] + share * (end - shape.centre[axis])
        return grid.cut(axis, side, float(place))

    def point_spread(self, psf: PointSpread = SPINNING_DISC) -> PointSpread:
        """Return the widened point-spread."""
        z, y, x = (float(s * b) for s, b in zip(psf.sigma, self.blur, strict=True))
        return PointSpread((z, y, x))

    def lit(self, image: Floats, grid: Grid, shape: CellShape) -> Floats:
        """Return an image (Z, Y, X) with haze, and darker towards the top of the cell."""
        if not (self.haze or self.fading):
            return image
        height: Floats = np.clip(grid.axes[0] / np.float32(shape.height), 0, 1)
        hazy = image + np.float32(self.haze * float(image.max(initial=0)))
        return (hazy * (1 - np.float32(self.fading) * height)).astype(np.float32)

    def stated_voxel_size(self, true: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the voxel size (Z, Y, X) in µm that the file states."""
        z, y, x = (float(v * s) for v, s in zip(true, self.stated, strict=True))
        return z, y, x

    def parameters(self) -> dict[str, float]:
        """Return the acquisition as numbers, for the ground truth of a dataset."""
        return {
            "cut": float(self.is_cut),
            "stated_z": self.stated[0],
            "stated_yx": self.stated[1],
            "blur_z": self.blur[0],
            "blur_yx": self.blur[1],
            "photons": self.photons,
            "haze": self.haze,
            "fading": self.fading,
            "cell_grown": self.grown[0],
            "nucleus_grown": self.grown[1],
        }


def checked_imaging(name: str) -> str:
    """Return the name of a kind of imaging, or raise a ValueError that lists them."""
    if name not in IMAGING_NAMES:
        raise ValueError(f"There is no imaging {name!r}: choose one of {', '.join(IMAGING_NAMES)}.")
    return name
