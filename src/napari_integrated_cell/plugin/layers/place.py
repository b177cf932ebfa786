"""Where a box of the model's lies in the window: over the cell it came from, or alone at the origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_integrated_cell.imaging.pose import Pose
    from napari_integrated_cell.plugin.layers.volumes import Ground


@dataclass(frozen=True, eq=False)
class Place:
    """What a napari layer needs to show a box (Z, Y, X) of the model's in its place.

    Attributes
    ----------
    affine : array (4, 4)
        From µm in the box to the world. Goes with a scale of the model's voxel size.
    units, axis_labels : tuple
        Of the three axes.
    """

    affine: NDArray[np.float64]
    units: tuple[Any, ...] = ("micrometer",) * 3
    axis_labels: tuple[str, ...] = ("z", "y", "x")


ORIGIN = Place(np.eye(4))


def place_over(pose: Pose, ground: Ground) -> Place:
    """Over a posed cell of an image: one affine, nothing is resampled."""
    return Place(ground.to_world @ pose.layer_affine, ground.units, ground.axis_labels)
