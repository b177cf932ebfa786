"""Actions that make layers usable: channels, a time point or labels of a layer become layers of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.imaging.labels import checked_labels
from napari_integrated_cell.imaging.reading import Image as FileImage
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.plugin.layers.axes import channel_axis, time_axis
from napari_integrated_cell.plugin.layers.display import channel_colormap, image_limits
from napari_integrated_cell.plugin.layers.marks import MARK, mark_of
from napari_integrated_cell.plugin.layers.volumes import (
    VoxelSize,
    full_data,
    micrometres_per_unit,
    voxel_size_of,
)
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.tasks import Task
from napari_integrated_cell.vocabulary import recognise_channel

_RGB = ("red", "green", "blue", "alpha")


@dataclass(frozen=True)
class _Channels:
    """Where the channels of a layer are, their names, and the voxel size in µm that its file states."""

    axis: int
    names: tuple[str, ...]
    voxel_size: VoxelSize | None = None


def split_channels(viewer: ViewerModel, session: Session, layer: Layer) -> Task:
    """Make a layer of each channel of a layer, and hide the layer.

    Names and voxel size come from the layer's file if napari's own reader has left them out.
    """
    data, guessed = full_data(layer), channel_axis(layer)
    path, rgb = layer.source.path, bool(getattr(layer, "rgb", False))

    def work(task: Task) -> _Channels:
        stated = _channels_of_file(path, data.shape) if not rgb else None
        if stated is not None:
            return stated
        size = _voxel_size_of_file(path, data.shape) if not rgb else None
        if guessed is None:
            raise ValueError(f"{layer.name!r} has no axis that counts channels.")
        count = data.shape[guessed]
        names = _RGB[:count] if rgb else tuple(f"channel {i}" for i in range(count))
        return _Channels(guessed, names, size)

    def show(channels: _Channels) -> None:
        depth = [axis for axis in range(layer.ndim) if axis != channels.axis][-3]
        plane = viewer.dims.current_step[viewer.dims.ndim - layer.ndim + depth]
        size, grid = channels.voxel_size, _without(data.shape, channels.axis)[-3:]
        sized = size is not None and write_voxel_size(layer, size, grid)
        for index, name in enumerate(channels.names):
            part = data[(*[slice(None)] * channels.axis, index)]
            _add_part(viewer, layer, part, channels.axis, f"{name} · {layer.name}", name)
        layer.visible = False
        viewer.dims.set_current_step(viewer.dims.ndim - 3, plane)
        if sized:
            viewer.reset_view()

    return session.tasks.start("mend", f"Splitting {layer.name}", work, on_done=show)


def use_time_point(viewer: ViewerModel, layer: Layer) -> None:
    """Make layers of the shown time point, from a layer and all others with as many time points; hide those."""
    axis = time_axis(layer)
    if axis is None:
        raise ValueError(f"{layer.name!r} has no axis that counts time points.")
    count, step = full_data(layer).shape[axis], time_step(viewer, layer)
    alike = [
        each
        for each in viewer.layers
        if isinstance(each, Image | Labels)
        and each.ndim == layer.ndim
        and time_axis(each) == axis
        and full_data(each).shape[axis] == count
    ]
    for each in alike:
        shape = full_data(each).shape
        size = _voxel_size_of_file(each.source.path, shape)
        if size is not None:
            write_voxel_size(each, size, _without(shape, axis)[-3:])
        part = full_data(each)[(*[slice(None)] * axis, step)]
        _add_part(viewer, each, part, axis, f"{each.name}, time point {step}", each.name)
        each.visible = False


def time_step(viewer: ViewerModel, layer: Layer) -> int:
    """Return the time point of a layer that the viewer shows."""
    axis = time_axis(layer) or 0
    count = full_data(layer).shape[axis]
    world = viewer.dims.point[viewer.dims.ndim - layer.ndim + axis]
    at = np.asarray(layer.data_to_world((0,) * layer.ndim), dtype=float)
    at[axis] = world
    return int(np.clip(np.round(layer.world_to_data(at)[axis]), 0, count - 1))


def make_labels(
    viewer: ViewerModel, session: Session, layer: Layer, then: Callable[[], None] = lambda: None
) -> Task:
    """Make a Labels layer with the values of an image, hide the image, and call ``then``."""
    data = full_data(layer)

    def work(task: Task) -> Any:
        if is_in_memory(data):
            return checked_labels(data, repr(layer.name))
        kind = np.dtype(data.dtype).kind
        return data if kind in "iu" else data.astype(np.uint8 if kind == "b" else np.int64)

    def show(labels: Any) -> None:
        made: dict[str, Any] = {"made_of": str(layer.unique_id)}
        if mark_of(layer).get("simulated"):
            made["simulated"] = True
        viewer.add_labels(
            labels,
            name=f"{layer.name} labels",
            metadata={MARK: made},
            **_place(layer, range(layer.ndim)),
        )
        layer.visible = False
        then()

    return session.tasks.start("mend", f"Making labels of {layer.name}", work, on_done=show)


def write_voxel_size(layer: Layer, voxel_size: VoxelSize, grid: tuple[int, ...]) -> bool:
    """Give a layer that states none its scale and units; return whether it has got them.

    Only a layer that shows volumes of ``grid`` voxels (Z, Y, X) gets them, also one with several channels or time
    points. Its last three axes all get a unit, also channels: napari ignores units if those of two layers differ.
    """
    shape = full_data(layer).shape[: layer.ndim]
    if tuple(shape[-2:]) != tuple(grid[-2:]) or grid[0] not in shape[:-2] or not np.allclose(layer.scale, 1):
        return False
    if any(unit.is_compatible_with("micrometer") for unit in layer.units):
        return False
    depth = len(shape) - 3 if shape[-3] == grid[0] else shape.index(grid[0])
    axes = {depth: voxel_size[0], layer.ndim - 2: voxel_size[1], layer.ndim - 1: voxel_size[2]}
    layer.units = ["µm" if a in axes or a >= layer.ndim - 3 else unit for a, unit in enumerate(layer.units)]
    layer.scale = [axes.get(a, scale) for a, scale in enumerate(layer.scale)]
    return True


def write_unit(layer: Layer, voxel_size: VoxelSize) -> bool:
    """Give a layer whose scale is this size without a unit the unit µm; return whether it has got it."""
    size = voxel_size_of(layer)
    if (
        micrometres_per_unit(layer) is not None
        or size is None
        or not np.allclose(size, voxel_size, rtol=0.01)
    ):
        return False
    layer.units = [*layer.units[:-3], *["µm"] * 3]
    return True


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _add_part(
    viewer: ViewerModel,
    layer: Layer,
    part: NDArray[Any],
    axis: int,
    name: str,
    channel: str,
) -> None:
    """Add a layer for a part of a layer at one index of an axis."""
    place = _place(layer, [a for a in range(layer.ndim) if a != axis])
    if isinstance(layer, Labels):
        viewer.add_labels(part, name=name, **place)
        return
    shown = recognise_channel(channel)
    limits = image_limits(part) if is_in_memory(part) and part.ndim == 3 else layer.contrast_limits
    viewer.add_image(
        part,
        name=name,
        colormap=channel_colormap(shown) if shown else "gray",
        blending="additive",
        contrast_limits=limits,
        **place,
    )


def _place(layer: Layer, kept: Any) -> dict[str, Any]:
    """Return scale, translation, affine, units and axis labels of the kept axes of a layer."""
    axes = [a for a in kept if a < layer.ndim]
    return {
        "scale": [layer.scale[a] for a in axes],
        "translate": [layer.translate[a] for a in axes],
        "rotate": layer.rotate[np.ix_(axes, axes)],
        "affine": layer.affine.set_slice(axes).affine_matrix,
        "units": [layer.units[a] for a in axes],
        "axis_labels": [layer.axis_labels[a] for a in axes],
    }


def _image_at(path: str | None) -> FileImage | None:
    """Return the image of a file, not read yet; None if there is no file or it is not readable."""
    try:
        return read_image(path, lazy=True) if path else None
    except (ValueError, OSError):
        return None


def _channels_of_file(path: str | None, shape: tuple[int, ...]) -> _Channels | None:
    """Return what a file states about a stack of this shape; None if it is another one or is not readable."""
    image = _image_at(path)
    if image is None:
        return None
    for axis, length in enumerate(shape):
        if length == len(image.channel_names) > 1 and _without(shape, axis)[-3:] == image.data.shape[1:]:
            return _Channels(axis, image.channel_names, image.voxel_size)
    return None


def _voxel_size_of_file(path: str | None, shape: tuple[int, ...]) -> VoxelSize | None:
    """Return the voxel size that a file states, if a stack of this shape can be its; None if it is not readable."""
    image = _image_at(path)
    if image is None:
        return None
    grids = {_without(shape, axis)[-3:] for axis in range(len(shape) - 2)}
    return image.voxel_size if tuple(image.data.shape[-3:]) in grids else None
