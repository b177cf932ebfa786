"""Where images and the model's box lie in the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.imaging.pose import Pose
from napari_integrated_cell.plugin.layers.volumes import VoxelSize, data_to_world


@dataclass(frozen=True, eq=False)
class ImageFrame:
    """Where an image lies in the window.

    Attributes
    ----------
    to_world : array, (4, 4)
        Affine from µm in the image (origin at the centre of its first voxel) to the world of its layer.
    units : tuple
        Of the layer.
    source : str
        The layer's name.
    """

    to_world: Doubles
    units: tuple[Any, ...]
    source: str


def image_frame_of(layer: Layer, voxel_size: VoxelSize) -> ImageFrame:
    """Return the frame of an image with this voxel size in µm. The scale of its layer may differ."""
    to_indices = np.diag([*(1 / np.asarray(voxel_size)), 1.0])
    return ImageFrame(data_to_world(layer) @ to_indices, tuple(layer.units[-3:]), layer.name)


@dataclass(frozen=True, eq=False)
class Place:
    """What a napari layer needs to show the model's box (Z, Y, X), or (T, Z, Y, X), in its place.

    Attributes
    ----------
    affine : array, (4, 4) or (5, 5)
        From µm in the box to the world. The layer's scale is the model's voxel size.
    units, axis_labels : tuple
        Of the axes.
    """

    affine: Doubles
    units: tuple[Any, ...] = ("micrometer",) * 3
    axis_labels: tuple[str, ...] = ("z", "y", "x")


ORIGIN = Place(np.eye(4))


def place_over(pose: Pose, frame: ImageFrame | None) -> Place:
    """Return the place over a posed cell of an image; without a frame the image begins at the world's origin.

    The place is one affine: no voxel is resampled.
    """
    if frame is None:
        return Place(pose.layer_affine)
    return Place(frame.to_world @ pose.layer_affine, frame.units)


def over_time(place: Place) -> Place:
    """Return the place of volumes over time, (T, Z, Y, X)."""
    affine = np.eye(5)
    affine[1:, 1:] = place.affine
    return Place(affine, ("pixel", *place.units), ("t", *place.axis_labels))
