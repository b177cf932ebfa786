"""Predicted structures as layers: one per structure, over the cell it was predicted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_integrated_cell.plugin.layers.opacity import (
    follow_display,
    opacities,
    opacity_in,
    untouched_opacity,
)
from napari_integrated_cell.plugin.layers.volumes import MARK, mark_of
from napari_integrated_cell.vocabulary import structure

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_integrated_cell.imaging.pose import Pose
    from napari_integrated_cell.plugin.layers.volumes import Ground


def structure_colormap(name: str) -> Colormap:
    """From black to the structure's colour of the vocabulary."""
    entry = structure(name)
    return Colormap(["#000000", entry.colour], name=f"{entry.label} (integrated cell)")


def result_layers(viewer: ViewerModel, run: str | None = None) -> dict[str, Image]:
    """The layers that a run made, by structure; of all runs when ``run`` is left out.

    Found by what they carry, never by name: the user may rename them.
    """
    marked = [(layer, mark_of(layer)) for layer in viewer.layers]
    return {
        mark["structure"] if run else f"{mark['run']}/{mark['structure']}": layer
        for layer, mark in marked
        if isinstance(layer, Image) and "run" in mark and (run is None or mark["run"] == run)
    }


def show_structure(
    viewer: ViewerModel,
    name: str,
    volume: NDArray[np.float32],
    *,
    run: str,
    cell_name: str,
    pose: Pose,
    ground: Ground,
    about: dict[str, Any],
    together: int = 1,
) -> Image:
    """Show one predicted structure: in the layer that the same run made before, else in a new one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    name : str
        The structure.
    volume : array of float32, (Z, Y, X)
        In the model's box, in [0, 1].
    run : str
        The key by which the layer is found again.
    cell_name : str
        For the layer's name.
    pose, ground
        Where the box lies in the image, and the image in the world.
    about : dict
        What else to keep in the layer's metadata.
    together : int
        How many structures are shown at once: the more they are, the fainter each, since additive layers sum up.
    """
    limits = contrast_limits(volume)
    opacity = opacities(together)
    mark = {"run": run, "structure": name, "contrast_limits": list(limits), "opacity": opacity, **about}
    affine = ground.to_world @ pose.layer_affine
    scale = (pose.box.voxel_size,) * 3
    layer = result_layers(viewer, run).get(name)
    follow_display(viewer)
    if layer is None:
        return viewer.add_image(
            volume,
            name=f"{structure(name).label} · {cell_name}",
            colormap=structure_colormap(name),
            blending="additive",
            interpolation2d="linear",  # the model's voxels are coarser than a microscope's
            contrast_limits=limits,
            opacity=opacity_in(viewer, opacity),
            scale=scale,
            affine=affine,
            units=ground.units,
            axis_labels=ground.axis_labels,
            metadata={MARK: mark},
        )
    before = mark_of(layer)
    untouched = np.allclose(layer.contrast_limits, before["contrast_limits"])
    layer.data = volume
    layer.scale, layer.affine, layer.units = scale, affine, ground.units
    layer.contrast_limits_range = (0.0, max(1.0, float(limits[1])))
    if untouched:  # what the user has set stays as it is
        layer.contrast_limits = limits
    if untouched_opacity(layer, viewer):
        layer.opacity = opacity_in(viewer, opacity)
    layer.metadata[MARK] = mark
    return layer


def note(viewer: ViewerModel, run: str, **about: Any) -> None:
    """Add to what a run's layers say of themselves."""
    for layer in result_layers(viewer, run).values():
        layer.metadata[MARK] = {**mark_of(layer), **about}


def contrast_limits(volume: NDArray[np.float32]) -> tuple[float, float]:
    """From a third of nearly the brightest voxel up to it.

    A prediction is a mean over what may be, with faint light wherever a structure might lie: below a third it
    would only add up to white over eleven layers. Nearly, so that one hot voxel does not darken the rest.
    """
    top = max(float(np.percentile(volume, 99.9)), 0.25 * float(volume.max()), 1e-3)
    return top / 3, top


def bring_into_view(viewer: ViewerModel, layer: Image) -> None:
    """Move the slider along Z to the structure's middle if the shown plane misses its box altogether."""
    if viewer.dims.ndisplay == 3 or viewer.dims.ndim < 3:
        return
    low, high = np.asarray(layer.extent.world)[:, -3]
    axis = viewer.dims.ndim - 3
    factor = _unit_ratio(layer, viewer)
    if axis in viewer.dims.not_displayed and not low * factor <= viewer.dims.point[axis] <= high * factor:
        viewer.dims.set_point(axis, (low + high) / 2 * factor)


def _unit_ratio(layer: Image, viewer: ViewerModel) -> float:
    """How many of the viewer's units one of the layer's is, along Z."""
    units = viewer.layers.units
    if not units or not layer.units[-3].is_compatible_with(units[-3]):
        return 1.0
    return float((1 * layer.units[-3]).to(units[-3]).magnitude)
