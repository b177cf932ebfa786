"""The model's box, and how a cell lies in it: what a pose is, apart from how it is found and used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_integrated_cell.arrays import Doubles

#: Below this ratio of the footprint's axes the direction of the long one is unstable.
NEAR_ROUND = 1.25
#: Below this skewness (in magnitude) along an axis its flip is unstable.
NEAR_SYMMETRIC = 0.1
# Two pieces of nucleus whose centres lie further apart than this (µm) are reported.
_FAR_APART = 5.0


@dataclass(frozen=True)
class Box:
    """The grid a model works on.

    Parameters
    ----------
    shape : tuple of int
        Voxels (Z, Y, X).
    voxel_size : float
        Edge of its cubic voxels in µm.
    """

    shape: tuple[int, int, int] = (64, 96, 128)
    voxel_size: float = 0.317

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or any(int(n) != n or n < 1 for n in self.shape):
            raise ValueError(f"A box has three positive numbers of voxels (Z, Y, X), not {self.shape!r}.")
        if not (np.isfinite(self.voxel_size) and self.voxel_size > 0):
            raise ValueError(f"A box's voxels have a positive edge in µm, not {self.voxel_size!r}.")

    @property
    def size(self) -> tuple[float, float, float]:
        """Edge lengths (Z, Y, X) in µm."""
        z, y, x = (n * self.voxel_size for n in self.shape)
        return z, y, x

    @property
    def centre(self) -> Doubles:
        """Its middle in µm from the centre of voxel 0."""
        return (np.asarray(self.shape) - 1) / 2 * self.voxel_size

    @property
    def grid(self) -> Doubles:
        """(4, 4) affine from its voxel indices to µm."""
        return np.diag(np.array([self.voxel_size] * 3 + [1.0]))


PAPER_BOX = Box()


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a cell lies in the model's box (section 3.1).

    Attributes
    ----------
    to_box : array, (4, 4) float64
        Rigid affine from µm in the image (z, y, x; the origin is the centre of the source image's first
        voxel, so a crop's offset counts in) to µm in the box (origin at the centre of the box's first voxel).
    box : Box
    angle : float
        Degrees, in (-90, 90], from the image's X axis to the cell's major axis, counted from X towards Y; the
        cell is turned back by it.
    flips : tuple of bool
        Whether Y and X are mirrored, after the rotation.
    flip_margins : tuple of float
        Magnitude of the skewness along Y and X that decided each flip.
    elongation : float
        Ratio of the cell's axes seen from above, the square root of that of its two principal variances: the
        footprint's or, if rounder, the volume's. A lamella may give a round body a direction, or an oblong
        body a round footprint; the direction is to be trusted only where both have one.
    outside : float
        Fraction of the cell's volume outside the box.
    extent, overhang : tuple of float
        The posed cell's lengths (Z, Y, X) in µm, and how far it reaches beyond the box along each axis.
    nucleus_gap : float
        Distance in µm between the centres of the nucleus's two largest pieces, 0 for one piece.
    """

    to_box: Doubles
    box: Box
    angle: float
    flips: tuple[bool, bool]
    flip_margins: tuple[float, float]
    elongation: float
    outside: float
    extent: tuple[float, float, float]
    overhang: tuple[float, float, float]
    nucleus_gap: float = 0.0

    @property
    def from_box(self) -> Doubles:
        """(4, 4) affine from µm in the box to µm in the image: the exact inverse."""
        turn, shift = self.to_box[:3, :3].T, self.to_box[:3, 3]
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = turn, -turn @ shift
        return inverse

    @property
    def layer_affine(self) -> Doubles:
        """(4, 4) affine for a napari layer in µm.

        A layer that holds a box volume with ``scale=(v, v, v)``, v the box's voxel size, and this affine lies
        over the image whose layer has the image's voxel size as its scale.
        """
        return self.from_box

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about this pose, in plain sentences."""
        said = []
        for axis, beyond, long, room in zip("ZYX", self.overhang, self.extent, self.box.size, strict=True):
            if beyond > 0:
                how = "is longer than" if long > room else "centred on its nucleus, reaches beyond"
                said.append(
                    f"The cell, {long:.1f} µm long along {axis}, {how} the model's box of {room:.1f} µm: "
                    f"{beyond:.1f} µm stick out; {100 * self.outside:.2g} % of its volume is left out in all."
                )
        if self.elongation < NEAR_ROUND:
            said.append(
                f"The cell is near-round (axis ratio {self.elongation:.3f}, below {NEAR_ROUND}): its major "
                "axis, and so its rotation, is unstable."
            )
        for axis, margin in zip("YX", self.flip_margins, strict=True):
            if margin < NEAR_SYMMETRIC:
                said.append(
                    f"The cell is near-symmetric along {axis} (skewness {margin:.3f}, below "
                    f"{NEAR_SYMMETRIC}): whether it is mirrored there is unstable."
                )
        if self.nucleus_gap > _FAR_APART:
            said.append(
                f"The nucleus is in pieces {self.nucleus_gap:.1f} µm apart (a dividing cell, or two nuclei "
                "under one label): the cell is centred between them."
            )
        return tuple(said)
