"""The model's box, and the pose of a cell in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.cell import Cell

#: Below this ratio of the axes one in ten cells gets another rotation after a small change (notes/pose-warnings.md).
NEAR_ROUND = 1.06
#: Below this skewness (in magnitude) along an axis one in ten cells gets another flip after a small change.
NEAR_SYMMETRIC = 0.02
# If the two largest pieces of a nucleus lie further apart than this (µm), the pose warns.
_FAR_APART = 5.0


@dataclass(frozen=True)
class Box:
    """The grid of a model's images.

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
            raise ValueError(
                f"The box's shape {self.shape!r} is not three positive integers: give (Z, Y, X) voxels."
            )
        if not (np.isfinite(self.voxel_size) and self.voxel_size > 0):
            raise ValueError(
                f"The box's voxel size {self.voxel_size!r} is not positive and finite: give it in µm."
            )

    @property
    def size(self) -> tuple[float, float, float]:
        """Edge lengths (Z, Y, X) in µm."""
        z, y, x = (n * self.voxel_size for n in self.shape)
        return z, y, x

    @property
    def centre(self) -> Doubles:
        """The box's centre in µm from the centre of voxel 0, (Z, Y, X)."""
        return (np.asarray(self.shape) - 1) / 2 * self.voxel_size

    @property
    def grid(self) -> Doubles:
        """Affine (4, 4) from voxel indices to µm."""
        return np.diag(np.array([self.voxel_size] * 3 + [1.0]))


PAPER_BOX = Box()


@dataclass(frozen=True, eq=False)
class Pose:
    """Position and orientation of a cell in the model's box (section 3.1).

    Attributes
    ----------
    to_box : array, (4, 4) float64
        Rigid affine from µm in the image (z, y, x) to µm in the box. The origins are the centres of the first
        voxels of the source image (not of a crop) and of the box.
    box : Box
    angle : float
        Degrees in (-90, 90] from the image's X axis to the cell's major axis, counted from X towards Y. The pose
        rotates the cell back by this angle.
    flips : tuple of bool
        Whether Y and X are mirrored, after the rotation.
    flip_margins : tuple of float
        Magnitude of the skewness along Y and X, whose sign decides each flip.
    elongation : float
        Ratio of the cell's axes seen from above: the square root of the ratio of the two principal variances, of
        the footprint or of the volume, whichever is smaller. The direction is reliable only if both are long: a
        lamella can make the footprint of a round body long, or that of a long body round.
    outside : float
        Fraction of the cell's volume outside the box.
    extent, overhang : tuple of float
        The posed cell's lengths (Z, Y, X) in µm, and the length beyond the box along each axis.
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

    def __repr__(self) -> str:
        flipped = [axis for axis, flip in zip("YX", self.flips, strict=True) if flip]
        mirrored = " and ".join(flipped) or "nothing"
        return (
            f"<Pose: turned by {self.angle:.1f}°, {mirrored} mirrored, {100 * self.outside:.2g} % outside, "
            f"warnings: {len(self.warnings)}, {self.box}>"
        )

    @property
    def from_box(self) -> Doubles:
        """Affine (4, 4) from µm in the box to µm in the image: the exact inverse of ``to_box``."""
        turn, shift = self.to_box[:3, :3].T, self.to_box[:3, 3]
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = turn, -turn @ shift
        return inverse

    @property
    def layer_affine(self) -> Doubles:
        """Affine (4, 4) in µm for a napari layer of a box volume.

        With ``scale=(v, v, v)``, v the box's voxel size, and this affine, the layer lies over the layer of the image,
        if the image's layer has the image's voxel size as its scale.
        """
        return self.from_box

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about this pose, each one sentence."""
        warnings = self._beyond_the_box()
        uncertain = self._uncertain()
        if uncertain:
            parts = _listed(uncertain)
            warnings.append(
                f"{parts[0].upper()}{parts[1:]} {'are' if len(uncertain) > 1 else 'is'} uncertain: at least one in ten "
                "such cells is posed otherwise after a small change."
            )
        if self.nucleus_gap > _FAR_APART:
            warnings.append(
                f"The nucleus is in pieces {self.nucleus_gap:.1f} µm apart (a dividing cell, or two nuclei): "
                "the box is centred between them."
            )
        return tuple(warnings)

    def _beyond_the_box(self) -> list[str]:
        """Return one sentence about the axes along which the cell is longer than the box, and one about the others."""
        shown = 0.05  # µm: less would be printed as 0.0
        axes = list(zip("ZYX", self.overhang, self.extent, self.box.size, strict=True))
        sentences = []
        for longer, how in ((True, "is longer than"), (False, "centred on its nucleus, reaches beyond")):
            said = [each for each in axes if each[1] >= shown and (each[2] > each[3]) == longer]
            if said:
                lengths = _listed(f"{long:.1f} µm long along {axis}" for axis, _, long, _ in said)
                sizes = _listed(f"{size:.1f} µm" for *_, size in said)
                parts = _listed(f"{beyond:.1f} µm" for _, beyond, _, _ in said)
                sentences.append(
                    f"The cell, {lengths}, {how} the model's box of {sizes}: {parts} stick out; "
                    f"{100 * self.outside:.2g} % of its volume is outside the box in total."
                )
        return sentences

    def _uncertain(self) -> list[str]:
        """Return the parts of this pose that a small change may change, with the measures that say so."""
        parts = []
        if self.elongation < NEAR_ROUND:
            parts.append(f"the rotation (axis ratio {self.elongation:.3f})")
        for axis, margin in zip("YX", self.flip_margins, strict=True):
            if margin < NEAR_SYMMETRIC:
                parts.append(f"the flip along {axis} (skewness {margin:.3f})")
        return parts


def _listed(parts: Iterable[str]) -> str:
    """Return parts as a list in a sentence."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def shape_of(cell: Cell, pose: Pose) -> dict[str, float]:
    """Return measures of a cell's segmentations, in µm and µm³.

    Returns
    -------
    dict of str to float
        ``cell_volume``, ``nucleus_volume``, ``height``, ``length`` and ``width`` of the posed cell, ``elongation``.
    """
    height, width, length = pose.extent
    return {
        "cell_volume": cell.volume,
        "nucleus_volume": cell.nucleus_volume,
        "height": height,
        "length": length,
        "width": width,
        "elongation": pose.elongation,
    }
