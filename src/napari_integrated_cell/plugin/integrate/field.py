"""Segment all cells of a field in the background, and show them as layers."""

from __future__ import annotations

from typing import Any

import psutil
from napari.components import ViewerModel
from napari.layers import Layer

from napari_integrated_cell.imaging.cropping import read_part
from napari_integrated_cell.imaging.segmenting import segment_field
from napari_integrated_cell.plugin.integrate.refusals import Refusal
from napari_integrated_cell.plugin.layers.volumes import VoxelSize, grid_shape, volume_of
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.tasks import Task

SLOT = "segment"
_BYTES = 16  # of a voxel: both stains, their labels, and what is computed between them


def segment(
    viewer: ViewerModel, session: Session, membrane: Layer, dna: Layer, voxel_size: VoxelSize
) -> Task:
    """Segment a field in the background, and show its cells and nuclei as Labels layers.

    Raises
    ------
    Refusal
        If the layers differ in size, or do not fit into the memory.
    """
    shape = grid_shape(membrane)
    if grid_shape(dna) != shape:
        raise Refusal(
            f"{membrane.name!r} has {shape} voxels but {dna.name!r} has {grid_shape(dna)}: choose layers of one image."
        )
    voxels = shape[0] * shape[1] * shape[2]
    if voxels * _BYTES > psutil.virtual_memory().available:
        raise Refusal(
            f"Segmenting {membrane.name!r} needs {voxels * _BYTES / 1e9:,.0f} GB, more memory than is free: click one "
            "cell, or crop the layers."
        )
    stains = {"membrane": volume_of(membrane), "DNA": volume_of(dna)}
    whole = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))

    def work(task: Task) -> Any:
        read = [
            read_part(stain, whole, what=f"reading {name}", progress=task.progress, cancel=task.token)
            for name, stain in stains.items()
        ]
        task.progress(0, 0, "finding nuclei and cells")
        return segment_field(read[0], read[1], voxel_size, progress=task.progress, cancel=task.token)

    def show(labels: Any) -> None:
        place = {
            name: getattr(membrane, name)
            for name in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        }
        before = (1,) * (membrane.ndim - 3)
        for what, volume in zip(("cells", "nuclei"), labels, strict=True):
            viewer.add_labels(
                volume.reshape(before + volume.shape), name=f"{what} of {membrane.name}", **place
            )

    return session.tasks.start(SLOT, f"Segmenting {membrane.name}", work, on_done=show, bar=True)
